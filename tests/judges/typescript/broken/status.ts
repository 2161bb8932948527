// A business status outside the vocabulary.
import createClient from "openapi-fetch";
import type { paths } from "../pli.js";
export const set = createClient<paths>().POST("/v1/inbox/{delivery_id}/status", {
  params: { path: { delivery_id: "x" } },
  body: { status: "finished" },
});
