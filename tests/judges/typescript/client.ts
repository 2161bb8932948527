// What an éditeur writes against the generated types: a token, a message with a document, the
// inbox, a document, the handover, a reply, the proof. Every refusal is a typed problem.
import createClient from "openapi-fetch";
import type { components, paths } from "./pli.js";

type Problem = components["schemas"]["Problem"];
type InboxItem = components["schemas"]["InboxItem"];

/** A refusal of the node: its stable code decides what to do next. */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.code}: ${problem.detail}`);
  }
  get mayTryAgain(): boolean {
    return this.problem.retryable;
  }
}

function good<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Refused(answer.error as Problem);
  return answer.data;
}

export async function connect(baseUrl: string, id: string, secret: string) {
  const open = createClient<paths>({ baseUrl });
  const token = good(
    await open.POST("/oauth2/token", {
      body: { grant_type: "client_credentials", scope: "send receive read" },
      bodySerializer: (form) => new URLSearchParams(Object.entries(form) as [string, string][]),
      headers: { Authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString("base64")}` },
    }),
  );
  const headers = { Authorization: `${token.token_type} ${token.access_token}` };
  return createClient<paths>({ baseUrl, headers });
}

type Node = Awaited<ReturnType<typeof connect>>;

export async function send(node: Node, cog: string, document: string, key: string) {
  const message = good(
    await node.POST("/v1/messages", {
      params: { header: { "Idempotency-Key": key } },
      body: {
        recipients: [{ cog }],
        process: "AEC",
        subject: "Acte de naissance",
        documents: [{ id: document, type_code: null }],
      },
    }),
  );
  const states: string[] = message.deliveries.map((delivery) => delivery.state);
  return { id: message.message_id, at: message.submitted_at, states };
}

export async function receive(node: Node): Promise<InboxItem[]> {
  const page = good(await node.GET("/v1/inbox", { params: { query: { wait: 30, limit: 50 } } }));
  for (const item of page.items) {
    for (const document of item.documents) {
      const path = { delivery_id: item.delivery_id, document_id: document.id };
      const options = { params: { path }, parseAs: "arrayBuffer" as const };
      const answer = await node.GET("/v1/inbox/{delivery_id}/documents/{document_id}", options);
      if (!answer.response.ok) throw new Refused(answer.error as Problem);
    }
    const path = { delivery_id: item.delivery_id };
    const taken = good(
      await node.POST("/v1/inbox/{delivery_id}/acknowledge", { params: { path } }),
    );
    const proof: string = taken.evidence.evidence_id;
    if (proof === "") throw new Error("no evidence of the handover");
    await node.POST("/v1/inbox/{delivery_id}/status", {
      params: { path, header: { "If-Match": "*" } },
      body: { status: "done" },
    });
  }
  return page.items;
}

export async function follow(node: Node, id: string) {
  const path = { id };
  const message = good(await node.GET("/v1/messages/{id}", { params: { path } }));
  const first = message.deliveries[0]?.evidence[0];
  return { event: first?.event, anchored: first?.anchored ?? null, subject: message.subject };
}
