// A field that an inbox item does not have.
import type { components } from "../pli.js";
export const sender = (item: components["schemas"]["InboxItem"]): unknown => item.from;
