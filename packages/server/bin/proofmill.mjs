#!/usr/bin/env node
import { refuseOldNode } from "./node-version.mjs";

refuseOldNode();
await import("../dist/main.js");
