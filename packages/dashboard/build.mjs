// The page as the files that a node serves: dist/index.html and what it names, under names that change
// with what they hold. Nothing in them is inline, as the page's Content-Security-Policy wants it.
import { fileURLToPath } from "node:url";
import { build } from "vite";

await build({
  configFile: false,
  root: fileURLToPath(new URL("src", import.meta.url)),
  base: "./", // a proxy may show a node under a path
  logLevel: "warn",
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    license: { fileName: "licenses.txt" },
  },
});
