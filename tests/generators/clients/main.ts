import type { Optional } from "./level";
import { getUsage, type ErrorBody, type Usage } from "./usage";

declare const process: { argv: string[]; stdout: { write(text: string): void } };

// Each call compiles only where both types are the same: `unknown` and `any` are errors.
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Same<A, B>): void {}

type RateLimit = NonNullable<Usage["rate_limit"]>;
type ByProtocol = NonNullable<Usage["by_protocol"]>;
type TopDomain = NonNullable<Usage["top_domains"]>[number];

same<Usage["api_key"], Optional<string>>(true);
same<Usage["total"], Optional<number>>(true);
same<Usage["success"], Optional<number>>(true);
same<Usage["fail"], Optional<number>>(true);
same<Usage["success_rate"], Optional<number>>(true);
same<Usage["bytes_transferred"], Optional<number>>(true);
same<RateLimit["rps"], Optional<number>>(true);
same<RateLimit["burst"], Optional<number>>(true);
same<RateLimit["remaining"], Optional<number>>(true);
same<ByProtocol["fetch"], Optional<number>>(true);
same<ByProtocol["ws"], Optional<number>>(true);
same<ByProtocol["amqp"], Optional<number>>(true);
same<TopDomain["domain"], Optional<string>>(true);
same<TopDomain["requests"], Optional<number>>(true);
same<ErrorBody["detail"], string>(true);

async function main(url: string, key: string): Promise<void> {
  const usage = await getUsage(url, key);
  process.stdout.write(JSON.stringify([usage.total, usage.rate_limit?.burst, usage.top_domains?.[0]?.domain]));
}

main(process.argv[2] ?? "", process.argv[3] ?? "");
