import { createClient } from "./generated/client";
import { getUsage as get } from "./generated/sdk.gen";
import type { ErrorBody, UsageResponse } from "./generated/types.gen";

export type { ErrorBody };
export type Usage = UsageResponse;

export async function getUsage(url: string, key: string): Promise<Usage> {
  const { data, error } = await get({ client: createClient({ baseUrl: url, auth: () => key }) });
  if (data === undefined) throw new Error(error?.detail);
  return data;
}
