import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { inspect } from 'node:util';
import { connect, type Channel, type ConsumeMessage, type Options } from 'amqplib';
import type { Log } from '../../src/log.ts';
import type { OutgoingRevocation } from '../../src/revocation/source.ts';
import { createAmqpSource, type AmqpSourceOptions } from '../../src/sources/amqp.ts';
import {
  createAmqpPublisher,
  type AmqpPublisherOptions,
} from '../../src/sources/amqp-publisher.ts';
import { readAmqpMap } from '../../src/sources/decode/amqp-map.ts';
import { NO_TOKEN } from '../../src/sources/decode/revocation-fields.ts';
import { issueCertificate } from '../../src/tls/certificate.ts';
import { startRabbitmq } from '../support/rabbitmq.ts';
import { recordedLog, type RecordedLog } from '../support/recorded-log.ts';
import { startTcpRelay } from '../support/tcp-relay.ts';
import { until } from '../support/until.ts';
import { FIXTURE_TOKEN, FIXTURES, fixtureBody } from './amqp-fixtures.ts';
import { CollectingSink, Following, testSource } from './conformance.ts';

const PASSWORD = 'Pa55/w@rd%é';
const WRONG = 'wr0ng-Pa55';
const ENCODED = encodeURIComponent(PASSWORD);
const RABBITMQ_JMS_EXCHANGE = 'jms.durable.topic';
/** Everything that a gateway says goes by here, so that the last test can look for the passwords in it. */
const said: string[] = [];

/** A frame of the AMQP 0-9-1 connection class on channel 0. */
function methodFrame(classId: number, methodId: number, args: Buffer): Buffer {
  const payload = Buffer.alloc(4 + args.length);
  payload.writeUInt16BE(classId, 0);
  payload.writeUInt16BE(methodId, 2);
  args.copy(payload, 4);
  const head = Buffer.alloc(7);
  head.writeUInt8(1, 0);
  head.writeUInt32BE(payload.length, 3);
  return Buffer.concat([head, payload, Buffer.from([0xce])]);
}

function closeFrame(code: number, text: string): Buffer {
  const reason = Buffer.from(text);
  const head = Buffer.alloc(3);
  head.writeUInt16BE(code, 0);
  head.writeUInt8(reason.length, 2);
  return methodFrame(10, 50, Buffer.concat([head, reason, Buffer.alloc(4)]));
}

const START = methodFrame(
  10,
  10,
  Buffer.concat([
    Buffer.from([0, 9]),
    Buffer.alloc(4), // no server properties
    Buffer.from([0, 0, 0, 5]),
    Buffer.from('PLAIN'),
    Buffer.from([0, 0, 0, 5]),
    Buffer.from('en_US'),
  ]),
);
const TUNE = methodFrame(10, 30, Buffer.from([0, 0, 0, 2, 0, 0, 0, 0]));
const OPEN_OK = methodFrame(10, 41, Buffer.from([0]));

/** Leads the handshake up to `connection.open` and answers that with `last`. */
function answering(last: Buffer): (socket: Socket) => void {
  return (socket) => {
    let stage = 0;
    socket.on('data', (chunk: Buffer) => {
      if (stage === 0) socket.write(START);
      else if (stage === 1) socket.write(TUNE);
      // tune-ok and open may come apart
      else if (chunk.includes(Buffer.from([0, 10, 0, 40]))) socket.write(last);
      stage++;
    });
  };
}

const folder = await mkdtemp(join(tmpdir(), 'amqp-tls-'));
const validity = {
  notBefore: new Date(Date.now() - 3_600_000),
  notAfter: new Date(Date.now() + 86_400_000),
};
const authority = await issueCertificate({
  commonName: 'Test authority',
  purpose: 'authority',
  ...validity,
});
const stranger = await issueCertificate({
  commonName: 'Another authority',
  purpose: 'authority',
  ...validity,
});
const broker = await startBroker();
after(async () => {
  await broker.stop();
  await rm(folder, { recursive: true });
});

async function startBroker() {
  const server = await issueCertificate({
    commonName: 'localhost',
    purpose: 'server',
    hosts: ['localhost'],
    issuer: authority,
    ...validity,
  });
  const [ca, cert, key] = ['ca', 'cert', 'key'].map((name) => join(folder, `${name}.pem`));
  assert.ok(ca !== undefined && cert !== undefined && key !== undefined);
  await writeFile(ca, authority.cert);
  await writeFile(cert, server.cert);
  await writeFile(key, server.key);
  const generated = '^amq\\.gen.*';
  return await startRabbitmq({
    vhosts: ['carbon', '/slashed'],
    users: [
      { name: 'gateway', password: PASSWORD },
      {
        name: 'limited',
        password: PASSWORD,
        permissions: {
          '/': { configure: generated, write: generated, read: '^amq\\.(gen.*|topic)$' },
        },
      },
      {
        name: 'reader',
        password: PASSWORD,
        permissions: { '/': { configure: generated, write: generated, read: '.*' } },
      },
    ],
    tls: { ca, cert, key },
    plugins: ['rabbitmq_auth_mechanism_ssl'],
    conf: [
      'auth_mechanisms.1 = PLAIN',
      'auth_mechanisms.2 = AMQPLAIN',
      'auth_mechanisms.3 = EXTERNAL',
      'ssl_cert_login_from = common_name',
    ],
  });
}

interface Place {
  readonly user?: string;
  readonly password?: string;
  readonly vhost?: string;
  readonly brokers?: string;
}

function urlOf({ user = 'gateway', password = ENCODED, vhost = '', brokers }: Place = {}): string {
  return `amqp://${user}:${password}@carbon/${vhost}?brokerlist='${brokers ?? `tcp://127.0.0.1:${broker.port}`}'`;
}

function sourceOf(topic: string, options: Partial<AmqpSourceOptions> = {}, log = newLog()) {
  return createAmqpSource({ name: 'amqp', topic, providerUrl: urlOf(), ...options }, log);
}

function newLog(): RecordedLog {
  const log = recordedLog();
  said.push('');
  log.lines.push = (...lines: string[]) => {
    said.push(...lines);
    return Array.prototype.push.apply(log.lines, lines);
  };
  return log;
}

/** Follows for as long as `body` takes. */
async function following(
  topic: string,
  body: (following: Following) => Promise<void>,
  options: Partial<AmqpSourceOptions> = {},
  log = newLog(),
): Promise<void> {
  const running = new Following({
    source: sourceOf(topic, options, log),
    close: () => Promise.resolve(),
  });
  try {
    await body(running);
  } finally {
    await running.stop();
  }
}

async function rejectionOf(topic: string, options: Partial<AmqpSourceOptions>): Promise<string> {
  let message = '';
  await following(
    topic,
    async (running) => {
      const error = await running.rejection();
      said.push(inspect(error, { depth: 9 }));
      ({ message } = error);
      assert.equal(running.sink.completes.length, 0);
    },
    options,
  );
  return message;
}

/** A plain client beside the gateway, with full rights. */
async function withChannel(
  vhost: string,
  body: (channel: Channel) => Promise<void>,
): Promise<void> {
  const connection = await connect({
    hostname: '127.0.0.1',
    port: broker.port,
    username: 'gateway',
    password: PASSWORD,
    vhost: encodeURIComponent(vhost),
  });
  connection.on('error', () => undefined);
  try {
    const channel = await connection.createConfirmChannel();
    await body(channel);
    await channel.waitForConfirms();
  } finally {
    await connection.close().catch(() => undefined);
  }
}

async function publishRaw(
  topic: string,
  content: Buffer,
  properties: Options.Publish = {},
  { vhost = '/', exchange = 'amq.topic' } = {},
): Promise<void> {
  await withChannel(vhost, (channel) => {
    channel.publish(exchange, topic, content, properties);
    return Promise.resolve();
  });
}

function textOf(token: string): Buffer {
  return Buffer.from(JSON.stringify({ revokedToken: token, ttl: '60' }));
}

function outgoing(token: string): OutgoingRevocation {
  return {
    eventId: randomUUID(),
    token,
    tokenType: 'JWT',
    issuer: 'https://idp.invalid',
    expiresAtMs: Date.now() + 3_600_000,
  };
}

async function withPublisher(
  options: Partial<AmqpPublisherOptions>,
  body: (publish: (revocation: OutgoingRevocation) => Promise<void>) => Promise<void>,
): Promise<void> {
  const publisher = createAmqpPublisher(
    { name: 'amqp', topic: 'unheard', providerUrl: urlOf(), ...options },
    newLog(),
  );
  try {
    await body((revocation) => publisher.publish(revocation));
  } finally {
    await publisher.close();
  }
}

async function refusalOf(publishing: Promise<void>): Promise<string> {
  const error: unknown = await publishing.then(
    () => assert.fail('it was accepted'),
    (reason: unknown) => reason,
  );
  said.push(inspect(error, { depth: 9 }));
  assert.ok(error instanceof Error);
  return error.message;
}

testSource('amqp', 'events', async () => {
  const relay = await startTcpRelay(broker.port);
  const brokers = `tcp://127.0.0.1:${relay.port}`;
  const publisher = createAmqpPublisher(
    { name: 'amqp', topic: 'conformance', providerUrl: urlOf() },
    newLog(),
  );
  const open = (password: string) => (log: Log) => ({
    source: createAmqpSource(
      { name: 'amqp', topic: 'conformance', providerUrl: urlOf({ brokers, password }) },
      log,
    ),
    close: () => Promise.resolve(),
  });
  return {
    open: open(ENCODED),
    openRefused: open(WRONG),
    revoke: async (token) => {
      try {
        await publisher.publish(outgoing(token));
      } catch (error) {
        // While the suite has cut the link nobody listens, and the publisher says so: a topic keeps nothing for later.
        if (!(error instanceof Error && error.message.startsWith('nobody listens'))) throw error;
      }
    },
    revokeMalformed: () => publishRaw('conformance', Buffer.from('ffee00', 'hex')),
    breakLink: () => relay.cut(),
    mendLink: () => relay.mend(),
    secrets: [PASSWORD, ENCODED, WRONG],
    close: async () => {
      await publisher.close();
      await relay.close();
    },
  };
});

describe('a subscription to a JMS topic', { timeout: 120_000 }, () => {
  it('takes every body of real publishers, acknowledges all of them, and keeps to its topic', async () => {
    await following('fixtures', async (running) => {
      await running.complete();
      await publishRaw('another.topic', textOf('not-ours'));
      for (const [index, fixture] of FIXTURES.entries()) {
        const token = `${String(index).padStart(8, '0')}${FIXTURE_TOKEN.slice(8)}`;
        const { drops } = running.sink;
        const dropsBefore = drops.length;
        await publishRaw('fixtures', fixtureBody(fixture, token), fixture.properties);
        await running.until(
          (sink) => (fixture.carriesToken ? sink.has(token) : drops.length > dropsBefore),
          fixture.name,
        );
      }
      assert.equal(
        running.sink.tokens.size,
        FIXTURES.filter(({ carriesToken }) => carriesToken).length,
      );
      for (const event of running.sink.events) assert.equal(event.ttl, '3600');
      await until(
        async () =>
          /^0\s+0$/m.test(await queuesWithConsumers('messages', 'messages_unacknowledged')),
        'nothing is left in the queue',
      );
    });
  });

  it('is bound to the exchange of the RabbitMQ JMS client too', async () => {
    await following('by-jms', async (running) => {
      await running.complete();
      await publishRaw('by-jms', textOf('of-jms'), {}, { exchange: RABBITMQ_JMS_EXCHANGE });
      await publishRaw('by-jms', textOf('of-qpid'));
      await running.until((sink) => sink.has('of-jms', 'of-qpid'), 'both arrived');
    });
  });

  it('is on the exchange that defaultTopicExchange names', async () => {
    await withChannel('/', async (channel) => {
      await channel.assertExchange('my.topics', 'topic', { durable: false });
      const providerUrl = `${urlOf()}&defaultTopicExchange='my.topics'`;
      await following(
        't',
        async (running) => {
          await running.complete();
          await publishRaw('t', textOf('elsewhere'));
          await publishRaw('t', textOf('here'), {}, { exchange: 'my.topics' });
          await running.until((sink) => sink.has('here'), 'it arrived');
          assert.ok(!running.sink.has('elsewhere'));
        },
        { providerUrl },
      );
      await channel.deleteExchange('my.topics');
    });
  });

  it('says what WSO2s gateway says', async () => {
    const log = newLog();
    await following(
      'said',
      async (running) => {
        await running.complete();
        await publishRaw('said', textOf('token-of-said'));
        await publishRaw('said', Buffer.from('{}'));
        await publishRaw('said', Buffer.from('<not json>'));
        await running.until((sink) => sink.drops.length === 2, 'all were read');
      },
      {},
      log,
    );
    assert.deepEqual(
      log.lines.map((line) => line.replace('[TokenRevocationJMS] [-] ', '')),
      [
        'DEBUG Successfully created jms connection',
        'INFO subscriber service for token revocation is started',
        'DEBUG Token revoked jms Message Received',
        'DEBUG Successfully added to revoked token map',
        'DEBUG Token revoked jms Message Received',
        `DEBUG ${NO_TOKEN}`,
        'DEBUG Token revoked jms Message Received',
        'DEBUG Error occurred while reading message: text is not JSON',
      ],
    );
  });

  it('hints at the stores after a batch event, once for many', async () => {
    let hints = 0;
    const batch = Buffer.from('{"revokedToken":"key","type":"token_revocation_batch"}');
    await following(
      'batches',
      async (running) => {
        await running.complete();
        for (let i = 0; i < 3; i++) await publishRaw('batches', batch);
        await running.until((sink) => sink.drops.length === 3, 'all were read');
        assert.deepEqual([hints, running.sink.events.length], [1, 0]);
      },
      { onReloadHint: () => hints++ },
    );
  });

  it('survives a flood of poison and reads what comes after it', async () => {
    const contentTypes = FIXTURES.map(({ properties }) => properties.contentType);
    await following('poison', async (running) => {
      await running.complete();
      await withChannel('/', (channel) => {
        for (let i = 0; i < 2000; i++)
          channel.publish('amq.topic', 'poison', Buffer.from([i % 256, 0xac, i >> 8, 0x7a]), {
            contentType: contentTypes[i % contentTypes.length] ?? '',
          });
        channel.publish('amq.topic', 'poison', textOf('after-poison'));
        return Promise.resolve();
      });
      await running.until((sink) => sink.has('after-poison'), 'the good one arrived');
      assert.equal(running.sink.drops.length, 2000);
    });
  });

  it('proves again and again that it stands', async () => {
    await following(
      'alive',
      (running) => running.until(({ proofs }) => proofs >= 3, 'three proofs'),
      { proofIntervalMs: 20 },
    );
  });

  it('tells the broker its client id', async () => {
    await following('properties', async (running) => {
      await running.complete();
      const connections = await broker.ctl('list_connections', 'client_properties');
      assert.match(connections, /"instance","carbon"/);
      assert.match(connections, /"product","portcullis"/);
    });
  });
});

describe('a subscription that breaks', { timeout: 120_000 }, () => {
  it('gets its bindings back when the exchanges were deleted and declared again', async () => {
    const exchanges = ['again.topics', RABBITMQ_JMS_EXCHANGE];
    await withChannel('/', async (channel) => {
      const declare = async (): Promise<void> => {
        for (const exchange of exchanges) await channel.assertExchange(exchange, 'topic');
      };
      await declare();
      await following(
        'again',
        async (running) => {
          await running.complete();
          for (const exchange of exchanges) await channel.deleteExchange(exchange);
          await declare();
          for (const exchange of exchanges)
            await publishRaw('again', textOf(`lost-${exchange}`), {}, { exchange });
          for (const exchange of exchanges) {
            await running.until(() => {
              channel.publish(exchange, 'again', textOf(`heard-${exchange}`));
              return running.sink.has(`heard-${exchange}`);
            }, exchange);
            assert.ok(!running.sink.has(`lost-${exchange}`), 'the binding was gone');
          }
          assert.equal(running.sink.completes.length, 1, 'it was mended, not begun anew');
        },
        {
          proofIntervalMs: 1500,
          providerUrl: `${urlOf()}&defaultTopicExchange='again.topics'`,
        },
      );
      await channel.deleteExchange('again.topics');
    });
  });

  it('is given up when an exchange is gone', async () => {
    await withChannel('/', async (channel) => {
      await following(
        'gone',
        async (running) => {
          await running.complete();
          await channel.deleteExchange(RABBITMQ_JMS_EXCHANGE);
          assert.match((await running.rejection()).message, /NOT_FOUND/);
        },
        { proofIntervalMs: 20 },
      );
    });
  });

  it('is given up when its queue is deleted', async () => {
    await following('deleted', async (running) => {
      await running.complete();
      const queue = /amq\.gen\S+/.exec(await queuesWithConsumers('name'))?.[0];
      assert.ok(queue);
      await broker.ctl('delete_queue', queue);
      assert.match((await running.rejection()).message, /cancelled/);
    });
  });

  it('is given up when the broker closes the connection', async () => {
    await following('closed', async (running) => {
      await running.complete();
      await broker.ctl('close_all_connections', 'maintenance');
      assert.match((await running.rejection()).message, /maintenance/);
    });
  });

  it('is given up when the network goes silent', async () => {
    const relay = await startTcpRelay(broker.port);
    try {
      const brokers = `tcp://127.0.0.1:${relay.port}?heartbeat='1'`;
      await following(
        'silent',
        async (running) => {
          await running.complete();
          relay.freeze();
          assert.match((await running.rejection()).message, /Heartbeat timeout/);
        },
        { providerUrl: urlOf({ brokers }) },
      );
    } finally {
      await relay.close();
    }
  });

  it('is tried with the next broker of the list', async () => {
    const relay = await startTcpRelay(broker.port);
    await relay.cut();
    const brokers = `tcp://127.0.0.1:${relay.port};tcp://127.0.0.1:${broker.port}`;
    const source = sourceOf('failover', { providerUrl: urlOf({ brokers }) });
    const close = (): Promise<void> => Promise.resolve();
    const first = new Following({ source, close });
    const { message } = await first.rejection();
    assert.match(message, new RegExp(`Broker 127.0.0.1:${relay.port}: .*ECONNREFUSED`));
    await first.stop();
    const second = new Following({ source, close });
    try {
      await second.complete();
    } finally {
      await second.stop();
    }
  });

  it('waits connectdelay between two attempts at one broker', async () => {
    const relay = await startTcpRelay(broker.port);
    await relay.cut();
    const brokers = `tcp://127.0.0.1:${relay.port}?connectdelay='300'`;
    const source = sourceOf('delayed', { providerUrl: urlOf({ brokers }) });
    const begun = performance.now();
    for (let attempt = 0; attempt < 2; attempt++) {
      const running = new Following({ source, close: () => Promise.resolve() });
      await running.rejection();
      await running.stop();
    }
    assert.ok(performance.now() - begun >= 290);
  });

  it('names the refusal of a wrong password without it', async () => {
    const message = await rejectionOf('t', { providerUrl: urlOf({ password: WRONG }) });
    assert.match(message, /ACCESS_REFUSED - Login was refused/);
    await following('t', (running) => running.complete(), {
      providerUrl: urlOf({ user: 'nobody', password: WRONG }),
      username: 'gateway',
      password: PASSWORD,
    });
  });

  it('blots a password out that a broker repeats', async () => {
    const server = await fakeBroker((socket) => {
      socket.write(Buffer.concat([START, closeFrame(403, `no ${PASSWORD} ${ENCODED}`)]));
    });
    try {
      const message = await rejectionOf('t', { providerUrl: urlOf({ brokers: server.address }) });
      assert.match(message, /no \*\*\* \*\*\*/);
    } finally {
      await server.close();
    }
  });
});

describe('a virtual host', { timeout: 60_000 }, () => {
  it('of the URL is tried with its slash and then without', async () => {
    for (const [vhost, name] of [
      ['carbon', 'carbon'],
      ['slashed', '/slashed'],
      ['', '/'],
    ] as const)
      await following(
        't',
        async (running) => {
          await running.complete();
          await publishRaw('t', textOf('in-vhost'), {}, { vhost: name });
          await running.until((sink) => sink.has('in-vhost'), `it arrived in ${name}`);
        },
        { providerUrl: urlOf({ vhost }) },
      );
  });

  it('that is refused both ways is named both ways, with the brokers reasons', async () => {
    const message = await rejectionOf('t', { providerUrl: urlOf({ vhost: 'nowhere' }) });
    assert.match(
      message,
      /'\/nowhere' \(530 .*vhost \/nowhere not found\) and for vhost 'nowhere' \(530 .*vhost nowhere not found\)/,
    );
    const secure = { brokers: `tcp://localhost:${broker.tlsPort}?ssl='true'`, vhost: 'nowhere' };
    const overTls = await rejectionOf('t', { providerUrl: urlOf(secure), ca: [authority.cert] });
    assert.match(overTls, /vhost \/nowhere not found.*vhost nowhere not found/);
  });
});

describe('the exchange of the RabbitMQ JMS client', { timeout: 60_000 }, () => {
  it('is used where it exists, without the right to declare it', async () => {
    await following('t', (running) => running.complete()); // declares it
    const log = newLog();
    await following(
      'reader',
      async (running) => {
        await running.complete();
        await publishRaw('reader', textOf('r'), {}, { exchange: RABBITMQ_JMS_EXCHANGE });
        await running.until((sink) => sink.has('r'), 'it arrived');
      },
      { providerUrl: urlOf({ user: 'reader' }) },
      log,
    );
    assert.ok(!log.lines.some((line) => line.startsWith('WARN')));
  });

  it('that is refused is told once, and costs the other exchange nothing', async () => {
    const log = newLog();
    const source = sourceOf('limited', { providerUrl: urlOf({ user: 'limited' }) }, log);
    for (const token of ['first', 'second']) {
      const running = new Following({ source, close: () => Promise.resolve() });
      try {
        await running.complete();
        await publishRaw('limited', textOf(token));
        await running.until((sink) => sink.has(token), 'it arrived');
      } finally {
        await running.stop();
      }
    }
    const warnings = log.lines.filter((line) => line.startsWith('WARN'));
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /jms\.durable\.topic.*ACCESS_REFUSED/);
  });
});

describe('TLS to the broker', { timeout: 60_000 }, () => {
  const secure = (host: string, options = ''): string =>
    urlOf({ brokers: `tcp://${host}:${broker.tlsPort}?ssl='true'${options}` });

  it('is verified against the given certificates', async () => {
    await following('tls', (running) => running.complete(), {
      providerUrl: secure('localhost'),
      ca: [authority.cert],
    });
    for (const ca of [[stranger.cert], undefined]) {
      const options = { providerUrl: secure('localhost'), ...(ca === undefined ? {} : { ca }) };
      assert.match(await rejectionOf('tls', options), /certificate/);
    }
  });

  it('uses the trust store of the URL, read anew each time', async () => {
    const reads: unknown[] = [];
    const providerUrl = secure('localhost', "&trust_store='/t.jks'&trust_store_password='tRu5t'");
    const loadTrust: AmqpSourceOptions['loadTrust'] = (path, password) => {
      reads.push([path, password]);
      return Promise.resolve([authority.cert]);
    };
    await following('tls', (running) => running.complete(), {
      providerUrl,
      loadTrust,
      ca: [stranger.cert],
    });
    assert.deepEqual(reads, [['/t.jks', 'tRu5t']]);
    const unreadable = await rejectionOf('tls', {
      providerUrl,
      loadTrust: () => Promise.reject(new Error('no tRu5t')),
    });
    assert.match(unreadable, /no \*\*\*/);
  });

  it('is verified for the host name too, unless the URL says otherwise', async () => {
    const ca = [authority.cert];
    const message = await rejectionOf('tls', { providerUrl: secure('127.0.0.1'), ca });
    assert.match(message, /IP: 127\.0\.0\.1 is not in the cert/);
    const unverified = secure('127.0.0.1', "&ssl_verify_hostname='false'");
    await following('tls', (running) => running.complete(), { providerUrl: unverified, ca });
  });
});

describe('who the gateway is to the broker', { timeout: 60_000 }, () => {
  const peers = async (): Promise<string> =>
    await broker.ctl('list_connections', 'user', 'auth_mechanism', 'peer_cert_subject');

  it('is a user by AMQPLAIN where the URL wants it', async () => {
    const brokers = `tcp://127.0.0.1:${broker.port}?sasl_mechs='AMQPLAIN'`;
    await following(
      'sasl',
      async (running) => {
        await running.complete();
        assert.match(await peers(), /^gateway\s+AMQPLAIN/m);
      },
      { providerUrl: urlOf({ brokers }) },
    );
  });

  it('is the subject of a client certificate, from PEM files or a key store', async () => {
    const { cert, key } = await issueCertificate({
      commonName: 'gateway',
      purpose: 'client',
      issuer: authority,
      ...validity,
    });
    const [certPath, keyPath] = [join(folder, 'client.pem'), join(folder, 'client-key.pem')];
    await writeFile(certPath, cert);
    await writeFile(keyPath, key);
    const loadKeyPair: AmqpSourceOptions['loadKeyPair'] = (path, password, alias) => {
      assert.deepEqual([path, password, alias], ['/k.jks', 'k3yPa55', 'mine']);
      return Promise.resolve({ cert, key });
    };
    for (const options of [
      `&client_cert_path='${certPath}'&client_cert_priv_key_path='${keyPath}'`,
      "&key_store='/k.jks'&key_store_password='k3yPa55'&ssl_cert_alias='mine'",
    ])
      await following(
        'certificate',
        async (running) => {
          await running.complete();
          assert.match(await peers(), /^gateway\s+EXTERNAL\s+.*CN=gateway/m);
        },
        {
          providerUrl: `amqp:///?brokerlist='tcp://localhost:${broker.tlsPort}?ssl='true'${options}'`,
          ca: [authority.cert],
          loadKeyPair,
        },
      );
  });
});

describe('a broker that misbehaves', { timeout: 60_000 }, () => {
  const misbehaviours: readonly (readonly [string, (socket: Socket) => void, RegExp])[] = [
    ['says nothing', () => undefined, /no AMQP connection within 300 ms/],
    ['hangs up', (socket) => void socket.end(), /./],
    ['speaks HTTP', (socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), /./],
    [
      'announces a frame of 4 GB',
      (socket) => void socket.write(Buffer.from('0100007fffffff', 'hex')),
      /./,
    ],
    [
      'closes in the same breath as it opens',
      answering(Buffer.concat([OPEN_OK, closeFrame(320, 'shutting down')])),
      /shutting down/,
    ],
    [
      'sends rubbish in the same breath as it opens',
      answering(Buffer.concat([OPEN_OK, Buffer.alloc(64, 0x55)])),
      /./,
    ],
    [
      'refuses the virtual host without a reason in the right place',
      answering(methodFrame(10, 50, Buffer.alloc(0))),
      /./,
    ],
  ];
  for (const [what, behave, expected] of misbehaviours)
    it(`and ${what} is given up, and nothing else`, async () => {
      const server = await fakeBroker(behave);
      try {
        const brokers = `${server.address}?connecttimeout='300'`;
        assert.match(await rejectionOf('t', { providerUrl: urlOf({ brokers }) }), expected);
      } finally {
        await server.close();
      }
    });
});

describe('a publisher to a JMS topic', { timeout: 60_000 }, () => {
  it('sends the MapMessage that WSO2s gateway reads', async () => {
    const heard = Promise.withResolvers<ConsumeMessage>();
    await withChannel('/', async (channel) => {
      const { queue } = await channel.assertQueue('', { exclusive: true });
      await channel.bindQueue(queue, 'amq.topic', 'sent');
      await channel.consume(queue, (message) => message && heard.resolve(message), { noAck: true });
      const revocation = outgoing('a-jti');
      await withPublisher({ topic: 'sent' }, (publish) => publish(revocation));
      const { content, properties } = await heard.promise;
      assert.equal(properties.contentType, 'amqp/map');
      assert.equal(properties.deliveryMode, 2);
      assert.deepEqual(properties.headers, { JMS_QPID_DESTTYPE: 2 });
      assert.equal(properties.messageId, `ID:${revocation.eventId}`);
      assert.deepEqual(
        readAmqpMap(content),
        new Map<string, unknown>([
          ['eventId', revocation.eventId],
          ['revokedToken', 'a-jti'],
          ['ttl', '3600'],
          ['expiryTime', BigInt(revocation.expiresAtMs)],
          ['type', 'JWT'],
          ['tenantId', -1234],
          ['issuer', revocation.issuer],
        ]),
      );
      const expiry = Buffer.alloc(8);
      expiry.writeBigInt64BE(BigInt(revocation.expiresAtMs));
      const others = content.toString('latin1').replace(expiry.toString('latin1'), '');
      assert.ok(!others.includes('\u0098'), 'Apache Qpid knows no str32');
    });
  });

  it('names no issuer where every one is meant', async () => {
    await following('every-issuer', async (running) => {
      await running.complete();
      await withPublisher({ topic: 'every-issuer' }, async (publish) => {
        const { issuer, ...unnamed } = outgoing('a-jti');
        assert.ok(issuer);
        await publish(unnamed);
      });
      await running.until((sink) => sink.has('a-jti'), 'it arrived');
      assert.ok(!('issuer' in (running.sink.events[0] ?? {})));
    });
  });

  it('reaches a gateway, in order, over one connection', async () => {
    const tokens = Array.from({ length: 20 }, (_, i) => `ordered-${i}`);
    await following('ordered', async (running) => {
      await running.complete();
      await withPublisher({ topic: 'ordered' }, async (publish) => {
        await Promise.all(tokens.map((token) => publish(outgoing(token))));
        const connections = await broker.ctl('list_connections', 'pid');
        assert.equal(connections.trim().split('\n').length - 1, 2);
      });
      await running.until((sink) => sink.has(...tokens), 'all arrived');
      assert.deepEqual(
        running.sink.events.map(({ token }) => token),
        tokens,
      );
      assert.equal(running.sink.events[0]?.issuer, 'https://idp.invalid');
    });
  });

  it('is refused where the exchange is missing, and goes on with a new connection', async () => {
    await withPublisher(
      { providerUrl: `${urlOf()}&defaultTopicExchange='late.topics'` },
      async (publish) => {
        assert.match(await refusalOf(publish(outgoing('lost'))), /not accepted.*closed/);
        await withChannel('/', async (channel) => {
          await channel.assertExchange('late.topics', 'topic', { autoDelete: false });
        });
        assert.match(await refusalOf(publish(outgoing('kept'))), /nobody listens/);
      },
    );
  });

  it('is refused what nobody hears, over the same connection', async () => {
    await withPublisher({ topic: 'waiting' }, async (publish) => {
      for (const token of ['early', 'earlier'])
        assert.match(
          await refusalOf(publish(outgoing(token))),
          /nobody listens to the topic waiting/,
        );
      await following('waiting', async (running) => {
        await running.complete();
        await publish(outgoing('heard'));
        await running.until((sink) => sink.has('heard'), 'it arrived');
        assert.deepEqual(
          running.sink.events.map(({ token }) => token),
          ['heard'],
        );
        const connections = await broker.ctl('list_connections', 'pid');
        assert.equal(connections.trim().split('\n').length - 1, 2);
      });
    });
  });

  it('says once more what it said over a new connection, for subscribers that come later', async () => {
    await following('again', async (first) => {
      await first.complete();
      await withPublisher({ topic: 'again', repeatAfterMs: 3000 }, async (publish) => {
        await publish(outgoing('live'));
        await publish({ ...outgoing('over'), expiresAtMs: Date.now() - 1 });
        await first.until((sink) => sink.has('live', 'over'), 'it arrived');
        await following('again', async (late) => {
          await late.complete();
          await late.until((sink) => sink.has('live'), 'it is said again');
          await publish(outgoing('settled'));
          await late.until((sink) => sink.has('settled'), 'it arrived');
          assert.deepEqual(
            late.sink.events.map(({ token }) => token),
            ['live', 'settled'],
          );
        });
      });
    });
  });

  it('is refused while the broker takes nothing', async () => {
    await withPublisher({ confirmTimeoutMs: 500, topic: 'blocked' }, async (publish) => {
      await following('blocked', async (running) => {
        await running.complete();
        await publish(outgoing('before'));
        await broker.ctl('set_vm_memory_high_watermark', '0.000000001');
        try {
          assert.match(await refusalOf(publish(outgoing('during'))), /no confirm within 500 ms/);
        } finally {
          await broker.ctl('set_vm_memory_high_watermark', '0.4');
        }
        await until(
          () =>
            publish(outgoing('afterwards')).then(
              () => true,
              () => false,
            ),
          'the broker takes messages again',
        );
      });
    });
  });

  it('is refused a wrong password and what comes after its close, without telling', async () => {
    await withPublisher({ providerUrl: urlOf({ password: WRONG }) }, async (publish) => {
      assert.match(await refusalOf(publish(outgoing('t'))), /Login was refused/);
    });
    const closed = createAmqpPublisher(
      { name: 'amqp', topic: 't', providerUrl: urlOf() },
      newLog(),
    );
    await closed.close();
    assert.match(await refusalOf(closed.publish(outgoing('t'))), /closed/);
  });
});

describe('a broker that dies', { timeout: 120_000 }, () => {
  it('takes subscription and publisher with it, and gets both back', async () => {
    const source = sourceOf('restart');
    const sink = new CollectingSink();
    const close = (): Promise<void> => Promise.resolve();
    await withPublisher({ topic: 'restart' }, async (publish) => {
      const first = new Following({ source, close }, sink);
      try {
        await first.complete();
        await publish(outgoing('before'));
        await first.until((seen) => seen.has('before'), 'it arrived');
        await broker.kill();
        await first.rejection();
      } finally {
        await first.stop();
      }
      assert.match(await refusalOf(publish(outgoing('during'))), /ECONNREFUSED/);
      await broker.start();
      const second = new Following({ source, close }, sink);
      try {
        await second.until(({ completes }) => completes.length === 2, 'it stands again');
        await publish(outgoing('afterwards'));
        await second.until((seen) => seen.has('afterwards'), 'it arrived');
      } finally {
        await second.stop();
      }
    });
  });
});

describe('everything said in these tests', () => {
  it('has no password and no token in it', () => {
    assert.ok(said.length > 100);
    const all = said.join('\n');
    for (const secret of [
      PASSWORD,
      ENCODED,
      WRONG,
      'tRu5t',
      FIXTURE_TOKEN.slice(8),
      'token-of-said',
    ])
      assert.ok(!all.includes(secret), secret);
  });
});

async function queuesWithConsumers(...columns: string[]): Promise<string> {
  return await broker.ctl('list_queues', ...columns);
}

interface FakeBroker {
  readonly address: string;
  close(): Promise<void>;
}

async function fakeBroker(behave: (socket: Socket) => void): Promise<FakeBroker> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    behave(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await once(server.close(), 'close');
    },
  };
}
