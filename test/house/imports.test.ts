/** The house as it stands keeps to the table of rooms, and what does not keep to one is found. */
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ROOMS } from "./rooms.ts";
import {
  circles,
  climbing,
  forbidden,
  homeless,
  pathsToTests,
  type Rooms,
  tooLong,
  unused,
} from "./rules.ts";
import { importsOf, readSources, type Sources } from "./sources.ts";

describe("this house", () => {
  const sources = readSources(fileURLToPath(new URL("../..", import.meta.url)));
  const imports = importsOf(sources);

  test("every file stands in a room", () => {
    expect(sources.size).toBeGreaterThan(300);
    expect(homeless(sources, ROOMS)).toEqual([]);
  });

  test("no file imports what its room may not", () => {
    expect(imports.length).toBeGreaterThan(1000);
    expect(forbidden(imports, ROOMS)).toEqual([]);
  });

  test("the table names nothing but what is there", () => {
    expect(unused(imports, ROOMS)).toEqual([]);
  });

  test("no arrow leads upward, so that there is no circle of rooms", () => {
    expect(climbing(ROOMS)).toEqual([]);
  });

  test("there is no circle of files", () => {
    expect(circles(imports)).toEqual([]);
  });

  test("the product reads nothing from test/", () => {
    expect(pathsToTests(sources)).toEqual([]);
  });

  test("what is skipped says why, in one way", () => {
    const silent = /\.(runIf|skip|todo)\(|\.skipIf\((?!\s*skipped\()/;
    const tests = [...sources].filter(([path]) => path.endsWith(".test.ts"));
    expect(tests.length).toBeGreaterThan(100);
    expect(tests.filter(([, text]) => silent.test(text)).map(([path]) => path)).toEqual([]);
  });

  test("no file is longer than 400 lines, but tests", () => {
    expect(tooLong(sources, 400)).toEqual([]);
  });
});

describe("what is read of a file", () => {
  const read = (files: Record<string, string>) => importsOf(house(files));
  const A = "packages/a/src/a.ts";
  const B = "packages/a/src/b.ts";

  test.each([
    ['import { b } from "./b.ts";'],
    ['import type { B } from "./b.ts";'],
    ['import "./b.ts";'],
    ['export * from "./b.ts";'],
    ['export { b } from "./b.ts";'],
    ['const b = await import("./b.ts");'],
    ['let b: import("./b.ts").B;'],
    ['createRequire(import.meta.url)("./b.ts");'],
    ['const b = require("./b.ts");'],
    ['import { b } from "../dist/b.js";'],
  ])("%s", (text) => {
    expect(read({ [A]: text, [B]: "" })).toEqual([{ from: A, to: B }]);
  });

  test("a comment, a string and a process that is started import nothing", () => {
    const text =
      '// import "./b.ts"\nfork(new URL("./b.ts", import.meta.url)); "import \'./b.ts\'";';
    expect(read({ [A]: text, [B]: "" })).toEqual([]);
  });

  test("modules that are not ours go by their names", () => {
    const text = 'import "zod/v4"; import "@trpc/server/http"; import "fs"; import "node:fs";';
    const names = ["zod", "@trpc/server", "node:fs", "node:fs"];
    expect(read({ [A]: text })).toEqual(names.map((to) => ({ from: A, to })));
  });

  test("a package of ours is the file that its manifest names, under each condition", () => {
    const manifest = {
      name: "@us/b",
      exports: { ".": "./dist/index.js", "./parts/*": { default: "./dist/parts/*.js" } },
      imports: { "#socket": { node: "./dist/node.js", default: "./dist/browser.js" } },
    };
    const files = {
      "packages/b/package.json": JSON.stringify(manifest),
      "packages/b/src/index.ts": 'import "#socket";',
      "packages/b/src/node.ts": "",
      "packages/b/src/browser.ts": "",
      "packages/b/src/parts/one.ts": "",
      [A]: 'import "@us/b"; import "@us/b/parts/one";',
    };
    expect(read(files).map(({ to }) => to.replace("packages/b/src/", ""))).toEqual([
      ...["node.ts", "browser.ts", "index.ts", "parts/one.ts"],
    ]);
    expect(() => read({ ...files, [A]: 'import "@us/b/other";' })).toThrow("is not there");
  });

  test("includes are looked for beside the file and from the sources' root", () => {
    const cc = "packages/native/src/model/model.cc";
    const text =
      '#include "model.h"\n  #  include "device/error.h"\n#include <vector>\n#include <napi.h>';
    const headers = {
      "packages/native/src/model/model.h": "",
      "packages/native/src/device/error.h": "",
    };
    expect(read({ [cc]: text, ...headers }).map(({ to }) => to)).toEqual([
      ...Object.keys(headers),
      "<napi.h>",
    ]);
    expect(() => read({ [cc]: text })).toThrow("model.h, which is not there");
  });
});

describe("a rule that is broken", () => {
  const TOP = "packages/server/src/node.ts";
  const DOOR = "packages/server/src/doors/rest/rest.ts";
  const STORE = "packages/server/src/store/sqlite.ts";
  const rooms: Rooms = {
    "server/tests": "server/src/* vitest",
    "server/src/node.ts": "server/src/doors/rest server/src/store",
    "server/src/doors/rest": "fastify",
    "server/src/store": "libsql",
  };
  const broken = (files: Record<string, string>) => {
    const sources = house({ [TOP]: "", [DOOR]: "", [STORE]: "", ...files });
    return [...homeless(sources, rooms), ...forbidden(importsOf(sources), rooms)];
  };

  test("none is", () => {
    expect(
      broken({
        [TOP]: 'import "./doors/rest/rest.ts"; import "./store/sqlite.ts";',
        [STORE]: 'import "libsql"; import "./worker.ts";',
        "packages/server/src/store/worker.ts": "",
        "packages/server/src/store/sqlite.test.ts": 'import "vitest"; import "../node.ts";',
      }),
    ).toEqual([]);
  });

  test("a door that imports the store", () => {
    expect(broken({ [DOOR]: 'import type { Store } from "../../store/sqlite.ts";' })).toEqual([
      `server/src/doors/rest may not import server/src/store: ${DOOR} imports ${STORE}`,
    ]);
  });

  test("a module that another room has for itself", () => {
    expect(broken({ [DOOR]: 'import Sqlite from "libsql";' })).toEqual([
      `server/src/doors/rest may not import libsql: ${DOOR} imports libsql`,
    ]);
  });

  test("a new folder that nobody has named", () => {
    const path = "packages/server/src/metrics/metrics.ts";
    expect(broken({ [path]: "", [TOP]: 'import "./metrics/metrics.ts";' })).toEqual([
      `${path} stands in no room: its folder needs a row in test/house/rooms.ts`,
      `server/src/node.ts may not import ${path}: ${TOP} imports ${path}`,
    ]);
  });

  test("the product that imports a test", () => {
    const support = "packages/server/src/test-support.ts";
    expect(broken({ [support]: "", [STORE]: 'import "../test-support.ts";' })).toEqual([
      `server/src/store may not import server/tests: ${STORE} imports ${support}`,
    ]);
  });

  test("an arrow of the table that leads upward, or to every room", () => {
    expect(climbing({ ...rooms, "server/src/store": "server/src/node.ts" })).toEqual([
      "server/src/store may import server/src/node.ts, which stands above it",
    ]);
    expect(climbing({ ...rooms, "server/src/store": "server/src/*" })).toHaveLength(2);
  });

  test("an arrow of the table that nobody needs", () => {
    const imports = importsOf(house({ [TOP]: 'import "./store/sqlite.ts";', [STORE]: "" }));
    const table = { ...rooms, "server/tests": "", "server/src/doors/rest": "" };
    expect(unused(imports, table)).toEqual([
      "server/src/node.ts may import server/src/doors/rest, and does not",
      "server/src/store may import libsql, and does not",
    ]);
  });

  test("files in a circle", () => {
    const files = {
      "packages/a/src/a.ts": 'import "./b.ts";',
      "packages/a/src/b.ts": 'import "./c.ts";',
    };
    const last = "packages/a/src/c.ts";
    expect(circles(importsOf(house({ ...files, [last]: "" })))).toEqual([]);
    expect(
      circles(importsOf(house({ ...files, [last]: 'import type { B } from "./b.ts";' }))),
    ).toEqual(["packages/a/src/b.ts → packages/a/src/c.ts → packages/a/src/b.ts"]);
  });

  test("a path into test/", () => {
    const texts = ['join(root, "test/golden")', "`../../test/golden/$" + "{name}`"];
    for (const text of texts) expect(pathsToTests(house({ [STORE]: text }))).toHaveLength(1);
    expect(pathsToTests(house({ [STORE]: '"latest/golden"; // test/golden' }))).toEqual([]);
  });

  test("a long file", () => {
    expect(tooLong(house({ [STORE]: "// line\n".repeat(400) }), 400)).toEqual([]);
    expect(tooLong(house({ [STORE]: "// line\n".repeat(401) }), 400)).toEqual([
      `${STORE} has 401 lines`,
    ]);
  });
});

function house(files: Record<string, string>): Sources {
  return new Map(Object.entries(files));
}
