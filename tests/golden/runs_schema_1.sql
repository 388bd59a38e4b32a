-- A file of run records as version 0.1.0 left it: an ended run of each kind, one that waits and one that lost its executor.
PRAGMA foreign_keys = OFF;
BEGIN TRANSACTION;
CREATE TABLE run_events (
    run_id  text NOT NULL REFERENCES runs (run_id),
    version integer NOT NULL,
    at      text NOT NULL,
    event   text NOT NULL,
    fence   integer NOT NULL,
    actor   text NOT NULL,
    detail  text NOT NULL,
    PRIMARY KEY (run_id, version)
) STRICT, WITHOUT ROWID;
INSERT INTO "run_events" VALUES('done',1,'2026-11-29T07:12:28.002Z','submitted',0,'api','{}');
INSERT INTO "run_events" VALUES('done',2,'2026-11-29T07:12:28.066Z','claimed',1,'old:22892/2c96d7fa-a357-42e5-b370-df79e5657bcd/1b6951e90d534cbdb585bec85991d5c9','{}');
INSERT INTO "run_events" VALUES('done',3,'2026-11-29T07:12:28.628Z','completed',1,'old:22892/2c96d7fa-a357-42e5-b370-df79e5657bcd/1b6951e90d534cbdb585bec85991d5c9','{"manifest_sha256":"ad109e4d80d2edc6dff2ac726d3641d278f1ac397e1488f4c3657397d5801c53"}');
INSERT INTO "run_events" VALUES('dropped',1,'2026-11-29T07:12:28.039Z','submitted',0,'api','{}');
INSERT INTO "run_events" VALUES('dropped',2,'2026-11-29T07:12:28.668Z','canceled',0,'api','{}');
INSERT INTO "run_events" VALUES('held',1,'2026-11-29T07:12:30.315Z','submitted',0,'api','{}');
INSERT INTO "run_events" VALUES('held',2,'2026-11-29T07:12:30.840Z','claimed',1,'old:22900/fe2445c3-aaf8-46ac-bed4-c5d7b920a8f1/0a56855289964b88bdf6ef86690c14f8','{}');
INSERT INTO "run_events" VALUES('waits',1,'2026-11-29T07:12:28.055Z','submitted',0,'api','{}');
INSERT INTO "run_events" VALUES('wrong',1,'2026-11-29T07:12:28.026Z','submitted',0,'api','{}');
INSERT INTO "run_events" VALUES('wrong',2,'2026-11-29T07:12:28.635Z','claimed',1,'old:22892/84f288f2-7287-4036-9ae5-4b62464eceb2/c8a15e78e4f241af9d40fc59bf564b33','{}');
INSERT INTO "run_events" VALUES('wrong',3,'2026-11-29T07:12:28.663Z','failed',1,'old:22892/84f288f2-7287-4036-9ae5-4b62464eceb2/c8a15e78e4f241af9d40fc59bf564b33','{"reason":"invalid_data"}');
CREATE TABLE runs (
    run_id                text PRIMARY KEY NOT NULL,
    status                text NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'failed', 'canceled')),
    status_reason         text,
    submitted_at          text NOT NULL,
    started_at            text,
    completed_at          text,
    run_name              text,
    start_date            text NOT NULL,
    end_date              text NOT NULL,
    output_dir            text,
    adls_container        text,
    adls_prefix           text,
    error                 text,
    config_json           text NOT NULL,
    effective_config_json text NOT NULL,
    attempt               integer NOT NULL DEFAULT 0,
    max_attempts          integer NOT NULL,
    fence                 integer NOT NULL DEFAULT 0,
    lease_owner           text,
    lease_expires_at      text,
    heartbeat_at          text,
    deadline_at           text,
    announced_at          text,
    announce_count        integer NOT NULL DEFAULT 0,
    available_at          text NOT NULL,
    cancel_requested_at   text,
    progress              real NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    progress_note         text,
    idempotency_key       text UNIQUE,
    request_sha256        text NOT NULL,
    config_sha256         text NOT NULL,
    data_versions         text,
    engine_version        text,
    fingerprint           text,
    parent_run_id         text,
    submitted_by          text,
    summary               text,
    manifest_sha256       text,
    version               integer NOT NULL DEFAULT 1,
    traceparent           text,
    updated_at            text NOT NULL,
    CHECK (attempt BETWEEN 0 AND max_attempts),
    CHECK ((status = 'running') = (lease_owner IS NOT NULL AND lease_expires_at IS NOT NULL
                                   AND heartbeat_at IS NOT NULL AND deadline_at IS NOT NULL)),
    CHECK ((status IN ('completed', 'failed', 'canceled')) = (completed_at IS NOT NULL)),
    CHECK (status <> 'completed' OR (manifest_sha256 IS NOT NULL AND summary IS NOT NULL)),
    CHECK (status <> 'failed' OR (error IS NOT NULL AND status_reason IS NOT NULL))
) STRICT;
INSERT INTO "runs" VALUES('done','completed',NULL,'2026-11-29T07:12:28.002Z','2026-11-29T07:12:28.066Z','2026-11-29T07:12:28.628Z','it went well','2012-01-03','2012-03-01','/srv/backtests/out/done/f1',NULL,NULL,NULL,'{"run_name":"it went well","start_date":"2012-01-03","end_date":"2012-03-01","universe":{"symbols":["AAPL","IBM"]},"strategy":{"class":"BuyAndHoldStrategy","parameters":{}}}','{"run_name":"it went well","start_date":"2012-01-03","end_date":"2012-03-01","initial_cash":1000000.0,"universe":{"symbols":["AAPL","IBM"],"asset_class":"Equity","currency":"USD"},"data":{"price_source":"local","price_path":null,"signal_source":"auto","signal_path":null,"price_fields":"OHLCV","frequency":"Daily"},"strategy":{"class":"BuyAndHoldStrategy","parameters":{"symbol":null,"rebalance":"daily"}},"sizing":{"class":"EqualWeightSizer","parameters":{"max_positions":10}},"constraints":{"allow_short":false,"max_position_size":1.0,"max_leverage":1.0,"net_exposure_min":null,"net_exposure_max":null,"max_net_exposure":null,"min_weight_change":null,"max_turnover":null,"stop_loss":null},"broker":{"slippage_bps":0.0,"spread_bps":0.0,"commission":0.0,"fill_policy":"next_open","allow_fractional_shares":true,"lot_size":1.0,"rounding_mode":"toward_zero","min_trade_notional":0.0,"min_trade_shares":0.0,"on_missing_price":"skip","max_participation_rate":null,"max_stale_days":null},"output":{"local_dir":null,"adls_dir":null,"save_trades":true,"save_daily_metrics":true,"save_plots":false,"save_positions_snapshot":true,"save_metrics_parquet":true,"save_resolved_config_json":true,"save_metrics_json":true,"save_constraint_hits":true,"save_run_index_parquet":true,"save_trades_parquet":true,"save_config_parquet":true,"save_summary_parquet":true},"benchmark":null,"risk_free_rate":0.0}',1,3,1,NULL,NULL,NULL,NULL,'2026-11-29T07:12:28.002Z',1,'2026-11-29T07:12:28.002Z',NULL,1.0,NULL,'a key','f524b6b3db552a53bab390c3d3853a8404e17f45983b77cd48aaabf700952600','398a4768d68af448cb8bd6d8fd79b33cd7409e33e0f30bc6f241c89d23c0a4d6','{"prices":{"table":"/srv/backtests/lake/gold/prices_daily","version":1,"adjusted":true},"signals":{"source":"computed from prices"}}','0.1.0','b198bb7c9cc7b0d315762159b0ff84523feb74fd0c765642e67401cfbed453d4',NULL,NULL,'{"run_id":"done","run_name":"it went well","start_date":"2012-01-03","end_date":"2012-03-01","days":41,"initial_cash":1000000.0,"final_equity":1327975.6097560902,"total_return":0.3279756097560902,"trades":1,"annualized_return":4.971695042666677,"annualized_volatility":0.22280505015190868,"sharpe_ratio":8.158534457667376,"max_drawdown":-0.023142150512306392,"sortino_ratio":21.057527986693053,"calmar_ratio":214.83288858668772,"var_95":-0.016427480574814687,"cvar_95":-0.02027943294171136,"skew":1.218303553417332,"excess_kurtosis":4.506107187540346,"best_day":0.0624390475963925,"worst_day":-0.023142150512306427,"best_month":0.18831055029791788,"worst_month":0.0037423493842689837,"hit_rate":0.675,"average_holding_days":null,"total_commission":0.0,"total_slippage_cost":0.0,"total_costs":0.0,"average_turnover":0.024390243902439025,"average_gross_exposure":0.975609756097561,"average_net_exposure":0.975609756097561,"longest_drawdown_days":7,"risk_free_rate":0.0,"benchmark":null,"warnings":[]}','ad109e4d80d2edc6dff2ac726d3641d278f1ac397e1488f4c3657397d5801c53',3,NULL,'2026-11-29T07:12:28.628Z');
INSERT INTO "runs" VALUES('wrong','failed','invalid_data','2026-11-29T07:12:28.026Z','2026-11-29T07:12:28.635Z','2026-11-29T07:12:28.663Z',NULL,'2012-01-03','2012-03-01',NULL,NULL,NULL,'no price row for the universe between 2012-01-03 and 2012-03-01; check universe, dates and price_path','{"run_name":null,"start_date":"2012-01-03","end_date":"2012-03-01","universe":{"symbols":["NONE"]},"strategy":{"class":"BuyAndHoldStrategy","parameters":{}}}','{"run_name":null,"start_date":"2012-01-03","end_date":"2012-03-01","initial_cash":1000000.0,"universe":{"symbols":["NONE"],"asset_class":"Equity","currency":"USD"},"data":{"price_source":"local","price_path":null,"signal_source":"auto","signal_path":null,"price_fields":"OHLCV","frequency":"Daily"},"strategy":{"class":"BuyAndHoldStrategy","parameters":{"symbol":null,"rebalance":"daily"}},"sizing":{"class":"EqualWeightSizer","parameters":{"max_positions":10}},"constraints":{"allow_short":false,"max_position_size":1.0,"max_leverage":1.0,"net_exposure_min":null,"net_exposure_max":null,"max_net_exposure":null,"min_weight_change":null,"max_turnover":null,"stop_loss":null},"broker":{"slippage_bps":0.0,"spread_bps":0.0,"commission":0.0,"fill_policy":"next_open","allow_fractional_shares":true,"lot_size":1.0,"rounding_mode":"toward_zero","min_trade_notional":0.0,"min_trade_shares":0.0,"on_missing_price":"skip","max_participation_rate":null,"max_stale_days":null},"output":{"local_dir":null,"adls_dir":null,"save_trades":true,"save_daily_metrics":true,"save_plots":false,"save_positions_snapshot":true,"save_metrics_parquet":true,"save_resolved_config_json":true,"save_metrics_json":true,"save_constraint_hits":true,"save_run_index_parquet":true,"save_trades_parquet":true,"save_config_parquet":true,"save_summary_parquet":true},"benchmark":null,"risk_free_rate":0.0}',1,3,1,NULL,NULL,NULL,NULL,'2026-11-29T07:12:28.026Z',1,'2026-11-29T07:12:28.026Z',NULL,0.0,NULL,NULL,'0b9fd8e9d7f4815dcde5ffdcfd9bb0b005905e0485c3b89abe66ff64646321ad','4f59f3cf13b3cece043d207a66c23dedd9e049b66351e69000def94dc952f86d',NULL,'0.1.0',NULL,NULL,NULL,NULL,NULL,3,NULL,'2026-11-29T07:12:28.663Z');
INSERT INTO "runs" VALUES('dropped','canceled','canceled_by_user','2026-11-29T07:12:28.039Z',NULL,'2026-11-29T07:12:28.668Z',NULL,'2012-01-03','2012-03-01',NULL,NULL,NULL,NULL,'{"run_name":null,"start_date":"2012-01-03","end_date":"2012-03-01","universe":{"symbols":["AAPL","IBM"]},"strategy":{"class":"BuyAndHoldStrategy","parameters":{}}}','{"run_name":null,"start_date":"2012-01-03","end_date":"2012-03-01","initial_cash":1000000.0,"universe":{"symbols":["AAPL","IBM"],"asset_class":"Equity","currency":"USD"},"data":{"price_source":"local","price_path":null,"signal_source":"auto","signal_path":null,"price_fields":"OHLCV","frequency":"Daily"},"strategy":{"class":"BuyAndHoldStrategy","parameters":{"symbol":null,"rebalance":"daily"}},"sizing":{"class":"EqualWeightSizer","parameters":{"max_positions":10}},"constraints":{"allow_short":false,"max_position_size":1.0,"max_leverage":1.0,"net_exposure_min":null,"net_exposure_max":null,"max_net_exposure":null,"min_weight_change":null,"max_turnover":null,"stop_loss":null},"broker":{"slippage_bps":0.0,"spread_bps":0.0,"commission":0.0,"fill_policy":"next_open","allow_fractional_shares":true,"lot_size":1.0,"rounding_mode":"toward_zero","min_trade_notional":0.0,"min_trade_shares":0.0,"on_missing_price":"skip","max_participation_rate":null,"max_stale_days":null},"output":{"local_dir":null,"adls_dir":null,"save_trades":true,"save_daily_metrics":true,"save_plots":false,"save_positions_snapshot":true,"save_metrics_parquet":true,"save_resolved_config_json":true,"save_metrics_json":true,"save_constraint_hits":true,"save_run_index_parquet":true,"save_trades_parquet":true,"save_config_parquet":true,"save_summary_parquet":true},"benchmark":null,"risk_free_rate":0.0}',0,3,0,NULL,NULL,NULL,NULL,'2026-11-29T07:12:28.039Z',1,'2026-11-29T07:12:28.039Z','2026-11-29T07:12:28.668Z',0.0,NULL,NULL,'a0a5101a5aae2cd139bf30b3e47a93f2b32cf16326f533531b759d311fc4d2e8','73bb35be4f554c157324a428d9ec8954f1b0731a576fab3fa885baac5a72be32',NULL,NULL,NULL,NULL,NULL,NULL,NULL,2,NULL,'2026-11-29T07:12:28.668Z');
INSERT INTO "runs" VALUES('waits','queued',NULL,'2026-11-29T07:12:28.055Z',NULL,NULL,NULL,'2012-01-03','2012-03-01',NULL,NULL,NULL,NULL,'{"run_name":null,"start_date":"2012-01-03","end_date":"2012-03-01","universe":{"symbols":["AAPL","IBM"]},"strategy":{"class":"BuyAndHoldStrategy","parameters":{}}}','{"run_name":null,"start_date":"2012-01-03","end_date":"2012-03-01","initial_cash":1000000.0,"universe":{"symbols":["AAPL","IBM"],"asset_class":"Equity","currency":"USD"},"data":{"price_source":"local","price_path":null,"signal_source":"auto","signal_path":null,"price_fields":"OHLCV","frequency":"Daily"},"strategy":{"class":"BuyAndHoldStrategy","parameters":{"symbol":null,"rebalance":"daily"}},"sizing":{"class":"EqualWeightSizer","parameters":{"max_positions":10}},"constraints":{"allow_short":false,"max_position_size":1.0,"max_leverage":1.0,"net_exposure_min":null,"net_exposure_max":null,"max_net_exposure":null,"min_weight_change":null,"max_turnover":null,"stop_loss":null},"broker":{"slippage_bps":0.0,"spread_bps":0.0,"commission":0.0,"fill_policy":"next_open","allow_fractional_shares":true,"lot_size":1.0,"rounding_mode":"toward_zero","min_trade_notional":0.0,"min_trade_shares":0.0,"on_missing_price":"skip","max_participation_rate":null,"max_stale_days":null},"output":{"local_dir":null,"adls_dir":null,"save_trades":true,"save_daily_metrics":true,"save_plots":false,"save_positions_snapshot":true,"save_metrics_parquet":true,"save_resolved_config_json":true,"save_metrics_json":true,"save_constraint_hits":true,"save_run_index_parquet":true,"save_trades_parquet":true,"save_config_parquet":true,"save_summary_parquet":true},"benchmark":null,"risk_free_rate":0.0}',0,3,0,NULL,NULL,NULL,NULL,'2026-11-29T07:12:28.055Z',1,'2026-11-29T07:12:28.055Z',NULL,0.0,NULL,NULL,'c440f43058a4f13d2ebc35bd413c59f2bc181904d84b088c27d1e582355c0f63','73bb35be4f554c157324a428d9ec8954f1b0731a576fab3fa885baac5a72be32',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,'2026-11-29T07:12:28.055Z');
INSERT INTO "runs" VALUES('held','running',NULL,'2026-11-29T07:12:30.315Z','2026-11-29T07:12:30.840Z',NULL,NULL,'2000-01-03','2030-01-01',NULL,NULL,NULL,NULL,'{"start_date":"2000-01-03","end_date":"2030-01-01","universe":{"symbols":["*"]},"strategy":{"class":"TopNSignalStrategy","parameters":{"signal_column":"momentum_12_1","top_n":5,"rebalance":"daily"}}}','{"run_name":null,"start_date":"2000-01-03","end_date":"2030-01-01","initial_cash":1000000.0,"universe":{"symbols":["*"],"asset_class":"Equity","currency":"USD"},"data":{"price_source":"local","price_path":null,"signal_source":"auto","signal_path":null,"price_fields":"OHLCV","frequency":"Daily"},"strategy":{"class":"TopNSignalStrategy","parameters":{"signal_column":"momentum_12_1","top_n":5,"min_signal":null,"higher_is_better":true,"rebalance":"daily"}},"sizing":{"class":"EqualWeightSizer","parameters":{"max_positions":10}},"constraints":{"allow_short":false,"max_position_size":1.0,"max_leverage":1.0,"net_exposure_min":null,"net_exposure_max":null,"max_net_exposure":null,"min_weight_change":null,"max_turnover":null,"stop_loss":null},"broker":{"slippage_bps":0.0,"spread_bps":0.0,"commission":0.0,"fill_policy":"next_open","allow_fractional_shares":true,"lot_size":1.0,"rounding_mode":"toward_zero","min_trade_notional":0.0,"min_trade_shares":0.0,"on_missing_price":"skip","max_participation_rate":null,"max_stale_days":null},"output":{"local_dir":null,"adls_dir":null,"save_trades":true,"save_daily_metrics":true,"save_plots":false,"save_positions_snapshot":true,"save_metrics_parquet":true,"save_resolved_config_json":true,"save_metrics_json":true,"save_constraint_hits":true,"save_run_index_parquet":true,"save_trades_parquet":true,"save_config_parquet":true,"save_summary_parquet":true},"benchmark":null,"risk_free_rate":0.0}',1,3,1,'old:22900/fe2445c3-aaf8-46ac-bed4-c5d7b920a8f1/0a56855289964b88bdf6ef86690c14f8','2026-11-29T07:13:31.886Z','2026-11-29T07:12:31.886Z','2026-11-29T07:37:30.840Z','2026-11-29T07:12:30.315Z',1,'2026-11-29T07:12:30.315Z',NULL,1.0,'day 1500 of 1500',NULL,'b1779a6ca1fedf3c2e3b3c926814ba66cb976b911eaf3fe989421bd1469eac4b','a69c2d1aab5fd26c54c9d8632d2d28ed637af810913aba6a5db267b871172ffe',NULL,'0.1.0',NULL,NULL,NULL,NULL,NULL,2,NULL,'2026-11-29T07:12:31.886Z');
CREATE INDEX runs_newest ON runs (submitted_at DESC, run_id DESC);
CREATE INDEX runs_unfinished ON runs (status, available_at) WHERE status IN ('queued', 'running');
CREATE TRIGGER runs_guard BEFORE UPDATE ON runs
BEGIN
    SELECT RAISE(ABORT, 'a final run does not change')
    WHERE OLD.status IN ('completed', 'failed', 'canceled');
    SELECT RAISE(ABORT, 'a fence only grows') WHERE NEW.fence < OLD.fence;
END;
COMMIT;
PRAGMA user_version = 1;
