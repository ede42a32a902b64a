import { createApiClient, type Schemas } from "./generated/client";

export type ErrorBody = Schemas.ErrorBody;
export type Usage = Schemas.UsageResponse;

export async function getUsage(url: string, key: string): Promise<Usage> {
  const api = createApiClient({ fetch: ({ url: place }) => fetch(place, { headers: { "X-API-Key": key } }) }, url);
  return await api.get("/usage");
}
