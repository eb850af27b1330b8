import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'amqplib';
import { until } from '../test/support/until.ts';
import { call, look } from './client.ts';

import { THREAD_FAULT } from './servers.ts';
import { memberOf, type Stage } from './stage.ts';

/** What is not done by then is not going to be. */
const PATIENCE_MS = 4_000;
/** How long a subscription may be away before what was published meanwhile is waited for in its old queue no more. */
const BEFORE_MS = 6_000;
/** Between the broker's word that a subscription stands and the first message that must not be missed. */
const MARGIN_MS = 200;
/** Enough for some revocations over the topic. */
const SHOWING_MS = 1_500;
/** Longer than the life that later copies of a message name, and than a gateway takes to remove what is over. */
const LATE_MS = 5_000;
/** Looks at a token over fresh connections, so that each thread gets one, most likely. */
const LOOKS = 6;

/** Ends the thread that takes this call. A gateway without threads of its own ends whole; then it is started again like any that ended. */
export async function endThread(
  stage: Stage,
  target: string,
  how: 'throw' | 'exit',
): Promise<void> {
  const member = memberOf(stage, target);
  const keeper = stage.tokens.all.find((token) => token.keeper && token.of === 'local');
  if (keeper === undefined) throw new Error('no token to call with');
  await until(
    async () => {
      const answer = await call(member, keeper.jwt, false, { [THREAD_FAULT]: how });
      // Or it was too quick to answer.
      return answer === 204 || answer === 'ECONNRESET';
    },
    `a thread of ${target} takes a call that ends it`,
    // Nothing gets that far while it is stale, e.g. while the broker restarts.
    PATIENCE_MS * 6,
  );
  await pause(stage.random.between(200, 1_000));
}

/**
 * Takes a durable queue from under its subscriber; the broker then says so once, by a delivery without a message. What was in the queue, and what is
 * published until the next one stands, is lost for this gateway; what comes later is not.
 */
export async function deleteQueue(stage: Stage, target: string): Promise<void> {
  const { queue } = memberOf(stage, target);
  if (queue === undefined) throw new Error(`${target} has no durable subscription`);
  const { history, revoker, tokens, servers } = stage;
  const from = history.now() - BEFORE_MS;
  const connection = await connect({ hostname: '127.0.0.1', port: servers.broker.port });
  connection.on('error', () => undefined);
  let subscribed = true;
  let since = from;
  try {
    await until(() => hasConsumer(), `${target} is subscribed`, PATIENCE_MS * 2);
    const channel = await connection.createChannel();
    since = history.now();
    await channel.deleteQueue(queue);
    await until(() => hasConsumer(), `${target} subscribes again`, PATIENCE_MS * 2).catch(() => {
      subscribed = false;
    });
    await pause(MARGIN_MS);
  } finally {
    await connection.close();
  }
  for (const entry of history.entries) {
    if (entry.type !== 'visible' || entry.medium !== 'broker' || entry.at < from) continue;
    const token = tokens.byName(entry.token);
    if (token !== undefined) revoker.forgotten(token, 'broker', since, target);
  }
  // Then it is behind, and what is published from now on shows it.
  if (!subscribed) await pause(SHOWING_MS);

  async function hasConsumer(): Promise<boolean> {
    try {
      // A channel of its own: one that asks for a queue that is not there is closed.
      const channel = await connection.createChannel();
      channel.on('error', () => undefined);
      const { consumerCount } = await channel.checkQueue(queue ?? '');
      await channel.close();
      return consumerCount > 0;
    } catch {
      return false;
    }
  }
}

/** The operator is answered while nobody else can be told, and the next instant the process is gone: the journal alone has it. */
export async function revokeAndKill(stage: Stage, target: string): Promise<void> {
  const { servers, tokens, revoker, history } = stage;
  const member = memberOf(stage, target);
  const token = tokens.local(servers.issuer, { keeper: false });
  try {
    for (const link of Object.values(member.links)) await link.cut();
    await revoker.onceByOperator(member, token);
    await member.kill();
    // Before it can hear of anything.
    await look(history, `${target}-after-kill`, member, token);
  } finally {
    await member.mendLinks();
  }
  await member.running();
  const keeper = tokens.all.find(({ keeper, of }) => keeper && of === 'local');
  if (keeper !== undefined)
    await until(
      async () => (await call(member, keeper.jwt, false)) === 200,
      `${target} admits again`,
      PATIENCE_MS * 2,
    ).catch(() => undefined);
  for (let looks = 0; looks < LOOKS; looks++)
    await look(history, `${target}-after-kill`, member, token);
  await revoker.intoStore(token);
}

/**
 * Revokes a token that nobody replays, with later copies of the message that name a much shorter life, and looks at it when that is over: longer lives
 * have to win.
 */
export async function lateLook({
  servers,
  tokens,
  revoker,
  history,
  members,
}: Stage): Promise<void> {
  const quiet = [1, 2].map(() => tokens.local(servers.issuer, { keeper: false, quiet: true }));
  await revoker.overTopic(quiet, 2);
  await pause(LATE_MS);
  for (const token of quiet)
    for (const member of members) await look(history, `${member.name}-late`, member, token);
}
