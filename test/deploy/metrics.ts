/** Metrics in Prometheus' text, and in the expressions that ask for them. */

export interface Metric {
  /** Of all its samples. */
  readonly labels: ReadonlySet<string>;
}

/** Every name that may be asked for, of a scrape; a histogram has three. */
export function metricsOf(scrape: string): Map<string, Metric> {
  const metrics = new Map<string, { labels: Set<string> }>();
  const add = (name: string, labels: readonly string[]) => {
    const metric = metrics.get(name) ?? { labels: new Set() };
    for (const label of labels) metric.labels.add(label);
    metrics.set(name, metric);
  };
  for (const line of scrape.split("\n")) {
    const [, declared, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (declared && type === "histogram") {
      for (const part of ["_bucket", "_sum", "_count"]) add(declared + part, []);
    } else if (declared) add(declared, []);
    const [, name, labels = ""] = /^([a-z][\w:]*)(?:\{(.*)\})? /.exec(line) ?? [];
    if (name) add(name, labelsOf(labels));
  }
  return metrics;
}

/** The metrics of a node that an expression names. */
export function namesIn(expression: string): string[] {
  const bare = expression.replaceAll(/"[^"]*"/g, '""');
  return [...bare.matchAll(/\b(?:proofmill_|vllm:|process_|nodejs_)[\w:]*/g)].map(([name]) => name);
}

/** Each metric that an expression selects by labels, and these labels. */
export function selectorsIn(expression: string): { name: string; labels: string[] }[] {
  return [...expression.matchAll(/([a-z][\w:]*)\{([^}]*)\}/g)].map(
    ([, name = "", labels = ""]) => ({
      name,
      labels: labelsOf(labels),
    }),
  );
}

function labelsOf(list: string): string[] {
  return [...list.matchAll(/(\w+)(?:=|!=|=~|!~)"/g)].map(([, label = ""]) => label);
}
