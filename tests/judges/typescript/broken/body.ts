// A message without its process.
import createClient from "openapi-fetch";
import type { paths } from "../pli.js";
export const send = createClient<paths>().POST("/v1/messages", {
  body: { recipients: [{ cog: "34172" }], documents: [{ id: "x" }] },
});
