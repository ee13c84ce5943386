/** What systemd hears of a node, where it asks: that it is ready, how it is, signs of life, its end. */
import type { RunningNode } from "../node.ts";
import { say } from "../platform/output.ts";
import { connectSystemd, type Systemd } from "../platform/systemd.ts";

/** How often it is looked whether the node is otherwise than was said last. */
const LOOK_MS = 2000;

/**
 * READY once the model is loaded; STATUS whenever it is another; signs of life unless the runner is lost
 * for good, which a new start alone mends.
 *
 * @returns null where systemd asks for nothing
 */
export function tellSystemd(node: RunningNode, environment: NodeJS.ProcessEnv): Systemd | null {
  const systemd = connectSystemd(environment, {
    isLive: () => node.health().reasons.every(({ code }) => code !== "RUNNER_LOST"),
    onFault: (reason) => say(`systemd is not told how the node is: ${reason}`),
  });
  if (!systemd) return null;
  let said = "";
  const look = () => {
    const { reasons, warnings } = node.health();
    const text = [...reasons, ...warnings][0]?.text ?? "ready";
    if (text !== said) systemd.say("STATUS", text);
    said = text;
  };
  look();
  const timer = setInterval(look, LOOK_MS).unref();
  void node.loaded.then(
    () => {
      systemd.say("READY", "1");
      look();
    },
    () => {}, // the command ends with it
  );
  return {
    ...systemd,
    close() {
      clearInterval(timer);
      systemd.close();
    },
  };
}
