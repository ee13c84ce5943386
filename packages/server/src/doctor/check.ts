/** What a doctor looks at before the round that pays: each check says what would fail in it. */

export interface Finding {
  state: "ok" | "failed" | "skipped";
  /** One line: what was found, and where it failed, what to do. */
  detail: string;
}

export interface Check {
  readonly name: string;
  /** What it throws is a failure too. */
  run(): Finding | Promise<Finding>;
}

export interface CheckResult extends Finding {
  name: string;
  seconds: number;
}

export const ok = (detail: string): Finding => ({ state: "ok", detail });
export const failed = (detail: string): Finding => ({ state: "failed", detail });
export const skipped = (detail: string): Finding => ({ state: "skipped", detail });

/** Carries all out, one after another, whatever becomes of one. */
export async function runChecks(
  checks: readonly Check[],
  onResult: (result: CheckResult) => void,
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const { name, run } of checks) {
    const begin = performance.now();
    let finding: Finding;
    try {
      finding = await run();
    } catch (error) {
      finding = failed(error instanceof Error ? error.message : String(error));
    }
    const result = { name, ...finding, seconds: (performance.now() - begin) / 1000 };
    results.push(result);
    onResult(result);
  }
  return results;
}
