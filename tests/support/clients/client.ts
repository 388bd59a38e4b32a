// A client as somebody would write it against the types that openapi-typescript makes of the document. It only has to compile.
import createClient from "openapi-fetch";
import type { components, paths } from "./api";

type RunRecord = components["schemas"]["RunRecord"];
type Config = components["schemas"]["Config"];

const client = createClient<paths>({ baseUrl: "http://localhost:7071" });

const config: Config = {
  run_name: "from a client",
  start_date: "2006-01-03",
  end_date: "2009-12-31",
  universe: { symbols: ["AAPL", "MSFT"] },
  strategy: {
    class: "TopNSignalStrategy",
    parameters: { signal_column: "momentum_12_1", top_n: 2, rebalance: "monthly" },
  },
  broker: { slippage_bps: 5 },
};

export async function submit(): Promise<string> {
  const { data, error } = await client.POST("/api/backtests", {
    params: { header: { "Idempotency-Key": "once" } },
    body: { config },
  });
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  return data.run_id;
}

export async function follow(run_id: string): Promise<number | null> {
  const { data } = await client.GET("/api/backtests/{run_id}", { params: { path: { run_id } } });
  const run: RunRecord | undefined = data;
  const parent: string | null | undefined = run?.parent_run_id;
  if (parent) await follow(parent);
  const summary = run?.summary;
  return summary && "sharpe_ratio" in summary ? summary.sharpe_ratio : null;
}

export async function fetchFile(run_id: string, name: string): Promise<Blob> {
  const { data } = await client.GET("/api/backtests/{run_id}/artifacts/{name}", {
    params: { path: { run_id, name } },
    parseAs: "blob",
  });
  return data as unknown as Blob;
}

export async function pages(): Promise<string[]> {
  const { data } = await client.GET("/api/backtests", {
    params: { query: { status: ["completed", "failed"], limit: 20 } },
  });
  return (data?.runs ?? []).map((run) => run.run_id);
}
