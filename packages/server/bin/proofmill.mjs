#!/usr/bin/env node
import { refuseOldNode } from "./node-version.mjs";
import { refuseFewOpenFiles } from "./open-files.mjs";

refuseOldNode();
refuseFewOpenFiles();
await import("../dist/main.js");
