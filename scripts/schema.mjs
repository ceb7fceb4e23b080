// Writes docs/train.schema.json from the table of src/training/config-table.ts; run after npm run build.
import { writeFileSync } from "node:fs";
import { trainConfigSchema } from "../dist/training/config.js";

const target = new URL("../docs/train.schema.json", import.meta.url);
writeFileSync(target, `${JSON.stringify(trainConfigSchema(), null, 2)}\n`);
