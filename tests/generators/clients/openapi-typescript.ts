import type { components, paths } from "./generated/schema";

export type ErrorBody = components["schemas"]["ErrorBody"];
export type Usage = paths["/usage"]["get"]["responses"]["200"]["content"]["application/json"];

export async function getUsage(url: string, key: string): Promise<Usage> {
  const response = await fetch(`${url}/usage`, { headers: { "X-API-Key": key } });
  return (await response.json()) as Usage;
}
