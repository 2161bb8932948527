// A problem code that nobody answers.
import type { components } from "../pli.js";
export const code: components["schemas"]["Problem"]["code"] = "not-a-code";
