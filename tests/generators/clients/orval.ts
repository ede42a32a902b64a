import { getUsage as get, type ErrorBody, type UsageResponse } from "./generated/client";

export type { ErrorBody };
export type Usage = UsageResponse;

export async function getUsage(url: string, key: string): Promise<Usage> {
  const response = await get({ baseURL: url, headers: { "X-API-Key": key } });
  return response.data;
}
