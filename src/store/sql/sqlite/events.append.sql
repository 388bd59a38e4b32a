-- events.append
INSERT INTO run_events (run_id, version, at, event, fence, actor, detail)
VALUES (:run_id, :version, :at, :event, :fence, :actor, :detail);
