/** The page begins: it is about the node that has served it. */
import "./no-code.ts";
import { options, render } from "preact";
import { Nodes } from "./node/nodes.ts";
import { Page } from "./view/page.tsx";

// However fast nodes tell, it is drawn once for each frame.
options.debounceRendering = requestAnimationFrame;

const own = new URL(".", location.href);
const nodes = new Nodes(`${own.origin}${own.pathname.replace(/\/+$/, "")}`);
const root = document.getElementById("page");
if (root) render(<Page nodes={nodes} />, root);
