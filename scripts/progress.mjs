/** A task of a package that turbo has not found in its cache. */
const BEGUN = /^@proofmill\/(\w+):(\w+): cache (?:miss|bypass), executing/;
/** How far the addon is, as ninja puts it (`[7/52]`, files), or make (`[ 13%]`). */
const COMPILED = /^@proofmill\/native:addon: \[\s*(\d+\/\d+|\d+%)\]/;
const AGAIN_MS = 15_000;

/**
 * What set-up says meanwhile: a line for each step, and one more every quarter of a minute for a
 * step that takes long. Where nothing is out of date no step begins, and not a line is said.
 */
export class Progress {
  #say;
  #step = "";
  #began = 0;
  /** Of the step, where that is known. */
  #done = "";
  #timer = setInterval(() => this.#sayAgain(), AGAIN_MS);

  /** @param {(line: string) => void} say prints a line */
  constructor(say) {
    this.#say = say;
  }

  begin(step) {
    this.#step = step;
    this.#began = performance.now();
    this.#say(step);
  }

  /** Looks for the beginning of a step in a line that turbo prints. */
  read(line) {
    const [, name, task] = BEGUN.exec(line) ?? [];
    // The packages take seconds, the addon beside them minutes.
    if (task === "addon") this.begin("compiling the addon");
    else if (name) this.#say(`building packages/${name}`);
    this.#done = COMPILED.exec(line)?.[1] ?? this.#done;
  }

  end() {
    clearInterval(this.#timer);
  }

  #sayAgain() {
    if (this.#step === "") return;
    const seconds = Math.round((performance.now() - this.#began) / 1000);
    this.#say(`${this.#step}: ${this.#done === "" ? "" : `${this.#done}, `}${seconds} s so far`);
  }
}
