// A route that does not exist.
import createClient from "openapi-fetch";
import type { paths } from "../pli.js";
export const nothing = createClient<paths>().GET("/v1/outbox");
