import type { z } from "zod";
import { schemas } from "./generated/zod";

export type ErrorBody = z.infer<typeof schemas.ErrorBody>;
export type Usage = z.infer<typeof schemas.UsageResponse>;

export async function getUsage(url: string, key: string): Promise<Usage> {
  if (schemas.UsageResponse.safeParse({ total: "many" }).success) throw new Error("a text is accepted as total");
  const response = await fetch(`${url}/usage`, { headers: { "X-API-Key": key } });
  return schemas.UsageResponse.parse(await response.json());
}
