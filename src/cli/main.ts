#!/usr/bin/env node
import { runCli } from "./program.ts";
import { processTerminal } from "./terminal.ts";

// exitCode rather than exit(), so that what was written reaches a slow reader
process.exitCode = await runCli(process.argv.slice(2), processTerminal());
