/** GET /metrics, and the requests that it counts. */
import type { FastifyInstance } from "fastify";
import { Registry } from "prom-client";
import { NodeMeter } from "./meter.ts";
import { type MetricSources, onScrape } from "./on-scrape.ts";

const METRICS_PATH = "/metrics";

interface Metrics {
  /** To be told what happens. */
  readonly meter: NodeMeter;
  /** Adds the path; before it nothing is shown. */
  expose(app: FastifyInstance, sources: Omit<MetricSources, "modelName">): void;
}

/** @param modelName the model as /v1 calls it */
export function createMetrics(modelName: string): Metrics {
  const registry = new Registry();
  const meter = new NodeMeter(registry, { modelName });
  return {
    meter,
    expose(app, sources) {
      const scrape = onScrape(registry, { ...sources, modelName });
      const config = { scope: "read" } as const;
      app.get(METRICS_PATH, { config }, async (_request, reply) =>
        reply.type(Registry.PROMETHEUS_CONTENT_TYPE).send(await scrape()),
      );
    },
  };
}

/** Counts every answer under its route's template. */
export function countAnswers(app: FastifyInstance, meter: NodeMeter): void {
  app.addHook("onResponse", async ({ method, routeOptions }, reply) => {
    const isStream = /^text\/event-stream/.test(String(reply.getHeader("content-type")));
    meter.answered({
      method,
      route: routeOptions.url,
      status: reply.statusCode,
      seconds: isStream ? null : reply.elapsedTime / 1000,
    });
  });
}
