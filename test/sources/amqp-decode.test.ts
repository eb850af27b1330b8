import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { readAmqp10 } from '../../src/sources/decode/amqp10.ts';
import { readAmqpMap, writeAmqpMap } from '../../src/sources/decode/amqp-map.ts';
import { DecodeError, type Fields } from '../../src/sources/decode/byte-reader.ts';
import { readJmsMapMessage } from '../../src/sources/decode/jms-map-message.ts';
import { modifiedUtf8 } from '../../src/sources/decode/java-stream.ts';
import { readRabbitmqJms } from '../../src/sources/decode/rabbitmq-jms.ts';
import { NO_TOKEN } from '../../src/sources/decode/revocation-fields.ts';
import {
  MAX_BODY_BYTES,
  readRevocationMessage,
  type TopicMessage,
} from '../../src/sources/decode/revocation-message.ts';
import { FIXTURE_TOKEN, FIXTURES, fixtureBody } from './amqp-fixtures.ts';

const DECODERS: readonly ((body: Uint8Array) => unknown)[] = [
  readAmqpMap,
  readJmsMapMessage,
  readRabbitmqJms,
  readAmqp10,
];
const ALL_TYPES = {
  a: true,
  b: -2,
  d: -300,
  e: 'A',
  f: -70000,
  h: 1.5,
  i: -2.25,
  j: 'é€',
  k: null,
};
const OTHER_TOKEN = 'ffffffff-0000-4000-8000-123456789abc';

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');
}

function json(value: unknown): TopicMessage {
  return { body: Buffer.from(JSON.stringify(value)), contentType: 'text/plain' };
}

function readJson(value: unknown): ReturnType<typeof readRevocationMessage> {
  return readRevocationMessage(json(value));
}

function utf(text: string): Buffer {
  const content = Buffer.from(text, 'utf8');
  const length = Buffer.alloc(2);
  length.writeUInt16BE(content.length);
  return Buffer.concat([length, content]);
}

function int32(value: number): Buffer {
  const encoded = Buffer.alloc(4);
  encoded.writeInt32BE(value);
  return encoded;
}

/** Block data as Java writes it, in blocks of `size` bytes. */
function blocks(content: Buffer, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < content.length; at += size) {
    const part = content.subarray(at, at + size);
    parts.push(
      part.length <= 255
        ? Buffer.from([0x77, part.length])
        : Buffer.concat([Buffer.from([0x7a]), int32(part.length)]),
      part,
    );
  }
  return Buffer.concat(parts);
}

const JAVA_MAGIC = bytes('aced0005');
const JMS_PACKAGE = 'com.rabbitmq.jms.client.message.';

/** A message of RabbitMQ's JMS client without properties. */
function rabbitmqJms(className: string, content: Buffer, blockSize = 1024): Buffer {
  const head = [utf(JMS_PACKAGE + className), utf('an-id'), int32(0), int32(0)];
  return Buffer.concat([JAVA_MAGIC, blocks(Buffer.concat([...head, content]), blockSize)]);
}

function stringEntry(name: string, value: string): Buffer {
  return Buffer.concat([utf(name), Buffer.from([8]), utf(value)]);
}

describe('bodies of real publishers', () => {
  for (const fixture of FIXTURES) {
    it(`${fixture.name} ${fixture.carriesToken ? 'revokes its token' : 'revokes nothing'}`, () => {
      for (const token of [FIXTURE_TOKEN, OTHER_TOKEN]) {
        const reading = readRevocationMessage({
          ...fixture.properties,
          body: fixtureBody(fixture, token),
        });
        if (fixture.carriesToken)
          assert.deepEqual(reading, { kind: 'revocation', event: { token, ttl: '3600' } });
        else assert.equal(reading.kind, 'drop');
      }
    });
  }

  it('keeps every type of a MapMessage, in both formats', () => {
    const decoders = [readAmqpMap, readJmsMapMessage];
    const fixtures = FIXTURES.filter(({ name }) => name.endsWith('of all types'));
    for (const [index, fixture] of fixtures.entries()) {
      const fields = decoders[index]?.(fixtureBody(fixture)) as Fields;
      const { c, g, ...rest } = Object.fromEntries(fields);
      assert.deepEqual(rest, ALL_TYPES);
      assert.deepEqual(Buffer.from(c as Uint8Array), bytes('010203'));
      assert.equal(g, 1_700_000_000_000n);
    }
  });

  it('says of a map without token what WSO2 says', () => {
    const reading = readRevocationMessage({
      body: bytes('0000000400000000'),
      contentType: 'amqp/map',
    });
    assert.deepEqual(reading, { kind: 'drop', reason: NO_TOKEN, reload: false });
  });
});

describe('content types and encodings', () => {
  const qpid = FIXTURES[0];
  assert.ok(qpid);
  const body = fixtureBody(qpid);
  const event = { kind: 'revocation', event: { token: FIXTURE_TOKEN, ttl: '3600' } };

  it('takes the other name of a map, upper case and parameters', () => {
    for (const contentType of ['amqp-0-10/map', 'AMQP/MAP', 'amqp/map; version=1'])
      assert.deepEqual(readRevocationMessage({ body, contentType }), event);
  });

  it('unpacks gzip, and stops where it unpacks to too much', () => {
    const packed = { body: gzipSync(body), contentType: 'amqp/map', contentEncoding: 'gzip' };
    assert.deepEqual(readRevocationMessage(packed), event);
    const bomb = { ...packed, body: gzipSync(Buffer.alloc(50 * 1024 * 1024)) };
    assert.ok(bomb.body.length < MAX_BODY_BYTES);
    assert.equal(readRevocationMessage(bomb).kind, 'drop');
    assert.equal(readRevocationMessage({ ...packed, body: body.subarray(3) }).kind, 'drop');
  });

  it('takes JSON by name, by +json, and by looking at a body of no telling type', () => {
    const text = Buffer.from(` {"revokedToken":"${FIXTURE_TOKEN}","ttl":"3600"}`);
    for (const contentType of [
      'text/plain',
      'text/xml',
      'application/json',
      'application/cloudevents+json',
      'application/octet-stream',
      'application/x-unknown',
      undefined,
    ])
      assert.deepEqual(readRevocationMessage({ body: text, contentType }), event, contentType);
  });

  it('reads text in the character set that content-encoding or content-type names', () => {
    const text = Buffer.from('{"revokedToken":"caf\u00e9"}', 'latin1');
    const read = (extra: object): unknown =>
      readRevocationMessage({ body: text, contentType: 'text/plain', ...extra });
    const good = { kind: 'revocation', event: { token: 'caf\u00e9' } };
    assert.deepEqual(read({ contentEncoding: 'ISO-8859-1' }), good);
    assert.deepEqual(read({ contentType: 'text/plain; charset="iso-8859-1"' }), good);
    for (const wrong of [{}, { contentEncoding: 'UTF-8' }, { contentEncoding: 'made-up' }])
      assert.equal((read(wrong) as { kind: string }).kind, 'drop');
    const utf8 = Buffer.from('\ufeff{"revokedToken":"caf\u00e9"}');
    assert.deepEqual(read({ body: utf8, contentEncoding: 'UTF-8' }), good);
  });

  it('drops a body that is too large, empty or binary', () => {
    for (const message of [
      { body: Buffer.alloc(MAX_BODY_BYTES + 1, ' '), contentType: 'text/plain' },
      { body: Buffer.alloc(0), contentType: 'text/plain' },
      { body: Buffer.alloc(0) },
      { body: Buffer.from([0xff, 0xfe, 0x00]) },
    ])
      assert.equal(readRevocationMessage(message).kind, 'drop');
  });

  it('reads a 0-9-1 body that crossed an AMQP 1.0 hop, by its inner content type', () => {
    // properties list with content-type at its seventh place, then one data section
    const properties = Buffer.concat([
      bytes('005373c0 12 07 404040404040 a308'.replace('12', '11')),
      Buffer.from('amqp/map'),
    ]);
    const data = Buffer.concat([bytes('005375b0'), int32(body.length), body]);
    const wrapped = Buffer.concat([properties, data]);
    assert.deepEqual(readRevocationMessage({ body: wrapped, type: 'amqp-1.0' }), event);
    const [first, second] = [body.subarray(0, 20), body.subarray(20)];
    const two = [first, second].map((part) =>
      Buffer.concat([bytes('005375a0'), Buffer.from([part.length]), part]),
    );
    assert.deepEqual(
      readRevocationMessage({ body: Buffer.concat([properties, ...two]), type: 'amqp-1.0' }),
      event,
    );
  });

  it('reads sections by symbolic descriptor, and drops sequences and second bodies', () => {
    const text = Buffer.from('{"revokedToken":"t"}');
    const value = Buffer.concat([Buffer.from([0xa1, text.length]), text]);
    const symbol = Buffer.from('amqp:amqp-value:*');
    const named = Buffer.concat([Buffer.from([0x00, 0xa3, symbol.length]), symbol, value]);
    const read = (sections: Buffer): string =>
      readRevocationMessage({ body: sections, type: 'amqp-1.0' }).kind;
    assert.equal(read(named), 'revocation');
    assert.equal(read(Buffer.concat([named, named])), 'drop');
    assert.equal(read(bytes('00537645')), 'drop');
    assert.equal(read(bytes('00537045')), 'drop');
  });
});

describe('events in JSON', () => {
  const good = { kind: 'revocation', event: { token: 't', ttl: '3600', expiryTime: 5 } };
  const fields = { revokedToken: 't', ttl: '3600', expiryTime: 5, type: 'JWT', tenantId: -1234 };

  it('takes the bare shape, WSO2s and XStreams', () => {
    assert.deepEqual(readJson(fields), good);
    assert.deepEqual(readJson({ event: { payloadData: fields, metaData: {} } }), good);
    const entry = [
      { string: 'expiryTime', long: 5 },
      { string: ['revokedToken', 't'] },
      { string: ['ttl', '3600'] },
      { string: 'nothing' },
    ];
    assert.deepEqual(readJson({ map: { entry } }), good);
    assert.deepEqual(readJson({ map: { entry: { string: ['revokedToken', 7] } } }), {
      kind: 'revocation',
      event: { token: '7' },
    });
  });

  it('drops a stream definition and everything without a token', () => {
    for (const value of [
      { event: { payloadData: [{ name: 'revokedToken', type: 'STRING' }] } },
      { event: { payloadData: 'x' } },
      { event: {} },
      { map: {} },
      { map: { entry: [1] } },
      {},
      [],
      null,
      'text',
      { revokedToken: null },
      { revokedToken: '' },
      { revokedToken: ' \t' },
      { revokedToken: true },
      { revokedToken: { a: 1 } },
      { revokedToken: 1.5 },
      { revokedToken: 1e30 },
      { revokedToken: '\ud800' },
      { revokedToken: 'x'.repeat(8193) },
    ])
      assert.equal(readJson(value).kind, 'drop', JSON.stringify(value).slice(0, 60));
  });

  it('keeps the token exactly, numbers as their digits, and needs no ttl', () => {
    for (const token of [' a ', '__proto__', 'x'.repeat(8192), '\u{1f512}', 'a\u0000b', '\ufeffa'])
      assert.deepEqual(readJson({ revokedToken: token }), { kind: 'revocation', event: { token } });
    assert.deepEqual(readJson({ revokedToken: 12345, ttl: {}, expiryTime: null }), {
      kind: 'revocation',
      event: { token: '12345' },
    });
  });

  it('passes an issuer on only where it is text', () => {
    assert.deepEqual(readJson({ revokedToken: 't', issuer: 'https://idp' }), {
      kind: 'revocation',
      event: { token: 't', issuer: 'https://idp' },
    });
    assert.deepEqual(readJson({ revokedToken: 't', issuer: 7 }), {
      kind: 'revocation',
      event: { token: 't' },
    });
  });

  it('reads a rule in the place of a token, whatever the event calls itself', () => {
    const rule = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64');
    const time = '1700000000000';
    for (const [value, claims] of [
      [
        { revokedToken: rule({ consumerKey: 'k', revocationTime: time }), type: 'x' },
        { client: 'k' },
      ],
      [
        {
          revokedToken: rule({ entityId: 'e', entityType: 'USER_ID', revocationTime: time }),
          type: 'subject_entity_revocation_event',
          expiryTime: 0,
          ttl: '3600',
        },
        { sub: 'e' },
      ],
    ] as const)
      assert.deepEqual(readJson({ event: { payloadData: value } }), {
        kind: 'rule',
        event: { action: 'revoke', claims, issuedBefore: time },
      });
  });

  it('never takes a batch, or a rule that cannot be read, for a token, and asks for a new read of the stores', () => {
    const rule = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64');
    for (const value of [
      { revokedToken: rule({ entityId: 'e', entityType: 'TENANT', revocationTime: '17' }) },
      { revokedToken: 'unreadable', type: 'CONSUMER_APP_REVOCATION' },
      { revokedToken: rule({ consumerKey: 'k' }), type: 'consumer_app_revocation_event' },
      { revokedToken: '', type: 'subject_entity_revocation' },
      { type: 'subject_entity_revocation' },
      { revokedToken: 'unreadable', type: 'portcullis_rule' },
      { revokedToken: 'a-consumer-key', type: 'token_revocation_batch' },
      {
        revokedToken: rule({ consumerKey: 'k', revocationTime: '17' }),
        type: 'token_revocation_batch',
      },
      { revokedToken: '', type: 'token_revocation_batch' },
    ]) {
      const reading = readJson({ event: { payloadData: value } });
      assert.equal(reading.kind, 'drop');
      assert.ok(reading.kind === 'drop' && reading.reload, JSON.stringify(value));
      assert.match(reading.reason, /rule|batch/);
    }
  });

  it('takes base64 JSON that is no rule, and a whole JWT, for tokens', () => {
    const part = Buffer.from('{"alg":"none","consumerKey":"k"}').toString('base64');
    for (const token of [part, `${part}.${part}.c2ln`, 'W10=', 'bnVsbA=='])
      assert.equal(readJson({ revokedToken: token }).kind, 'revocation', token);
  });
});

describe("messages of RabbitMQ's JMS client", () => {
  const entries = Buffer.concat([
    int32(2),
    stringEntry('revokedToken', FIXTURE_TOKEN),
    stringEntry('ttl', '3600'),
  ]);
  const event = { kind: 'revocation', event: { token: FIXTURE_TOKEN, ttl: '3600' } };

  it('reads values that straddle block boundaries, wherever they fall', () => {
    for (const size of [1, 2, 3, 7, 64, 255, 256, 1024])
      assert.deepEqual(
        readRevocationMessage({ body: rabbitmqJms('RMQMapMessage', entries, size) }),
        event,
        `blocks of ${size}`,
      );
  });

  it('reads a text of more than one block, and a null one as empty', () => {
    const padding = ' '.repeat(3000);
    const text = Buffer.from(`{"revokedToken":"t"${padding}}`);
    const content = Buffer.concat([Buffer.from([0]), int32(text.length), text]);
    assert.deepEqual(readRevocationMessage({ body: rabbitmqJms('RMQTextMessage', content) }), {
      kind: 'revocation',
      event: { token: 't' },
    });
    const none = rabbitmqJms('RMQTextMessage', Buffer.from([1]));
    assert.equal(readRevocationMessage({ body: none }).kind, 'drop');
  });

  it('reads JSON in a BytesMessage, which follows the last record raw', () => {
    const body = Buffer.concat([
      rabbitmqJms('RMQBytesMessage', Buffer.alloc(0)),
      Buffer.from('{"revokedToken":"t"}'),
    ]);
    assert.equal(readRevocationMessage({ body }).kind, 'revocation');
  });

  it('walks over objects with enums, arrays, long strings and written-out maps', () => {
    const string = (text: string): Buffer => Buffer.concat([Buffer.from([0x74]), utf(text)]);
    const classOf = (name: string, flags: number, fields: readonly Buffer[]): Buffer =>
      Buffer.concat([
        Buffer.from([0x72]),
        utf(name),
        Buffer.alloc(8),
        Buffer.from([flags, 0, fields.length]),
        ...fields,
        bytes('7870'),
      ]);
    const objects = [
      bytes('70'),
      string('text'),
      Buffer.concat([bytes('7c'), Buffer.alloc(7), Buffer.from([3]), Buffer.from('abc')]),
      Buffer.concat([bytes('75'), classOf('[I', 2, []), int32(2), int32(1), int32(2)]),
      Buffer.concat([
        bytes('75'),
        classOf('[Ljava.lang.String;', 2, []),
        int32(2),
        string('a'),
        bytes('70'),
      ]),
      Buffer.concat([bytes('7e'), classOf('some.Enum', 0x12, []), string('NAME')]),
      Buffer.concat([bytes('76'), classOf('some.Class', 2, [])]),
      // a HashMap: two primitive fields, then what its writeObject wrote
      Buffer.concat([
        bytes('73'),
        classOf('java.util.HashMap', 3, [
          Buffer.concat([Buffer.from('F'), utf('loadFactor')]),
          Buffer.concat([Buffer.from('I'), utf('threshold')]),
        ]),
        bytes('3f400000 0000000c 7708 0000001000000001'),
        string('x-queue-type'),
        string('quorum'),
        bytes('78'),
      ]),
      // Externalizable with block data
      Buffer.concat([bytes('73'), classOf('some.Ext', 0x0c, []), bytes('7702abcd78')]),
    ];
    const head = Buffer.concat([utf(`${JMS_PACKAGE}RMQMapMessage`), utf('id'), int32(1), utf('p')]);
    for (const object of objects) {
      const body = Buffer.concat([
        JAVA_MAGIC,
        blocks(Buffer.concat([head, Buffer.from([0x7f])]), 1024),
        object,
        blocks(Buffer.concat([int32(0), entries]), 1024),
      ]);
      assert.deepEqual(readRevocationMessage({ body }), event, object.toString('latin1'));
    }
    for (const refused of ['7b', '7d', '79', '7300', '73 71 007e0000', '71 00000000']) {
      const body = Buffer.concat([
        JAVA_MAGIC,
        blocks(Buffer.concat([head, Buffer.from([0x7f])]), 1024),
        bytes(refused),
        blocks(Buffer.concat([int32(0), entries]), 1024),
      ]);
      assert.equal(readRevocationMessage({ body }).kind, 'drop', refused);
    }
  });

  it('drops classes that are not its own, and streams nested past the bound', () => {
    const foreign = Buffer.concat([JAVA_MAGIC, blocks(utf('java.util.HashMap'), 1024)]);
    assert.equal(readRevocationMessage({ body: foreign }).kind, 'drop');
    const head = Buffer.concat([utf(`${JMS_PACKAGE}RMQMapMessage`), utf('id'), int32(1), utf('p')]);
    const deep = Buffer.concat([
      JAVA_MAGIC,
      blocks(Buffer.concat([head, Buffer.from([0x7f])]), 1024),
      ...Array.from({ length: 2000 }, () =>
        bytes('73 72 0001 41 0000000000000000 02 0001 4c 0001 61'),
      ),
    ]);
    assert.throws(() => readRabbitmqJms(deep), DecodeError);
  });

  it('reads modified UTF-8: U+0000 in two bytes, and surrogates in three each', () => {
    assert.equal(modifiedUtf8(bytes('61c080eda0bdedb492c3a9')), 'a\u0000\u{1f512}\u00e9');
    for (const wrong of ['c0', 'e0a0', '80', 'f09f9492', 'c041'])
      assert.throws(() => modifiedUtf8(bytes(wrong)), DecodeError);
  });
});

describe('hostile bodies', () => {
  const fixtureBodies = FIXTURES.map((fixture) => fixtureBody(fixture));
  const contentTypes = FIXTURES.map(({ properties }) => properties.contentType);

  function assertTame(body: Uint8Array): void {
    for (const decode of DECODERS) {
      try {
        decode(body);
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error));
        assert.match(error.message, /^[\w ,'()-]{3,80}$/);
      }
    }
    for (const contentType of contentTypes)
      for (const type of [undefined, 'amqp-1.0'])
        readRevocationMessage({ body, contentType, type });
  }

  it('are refused wherever a good one is cut short', () => {
    for (const fixture of FIXTURES) {
      const body = fixtureBody(fixture);
      for (let length = 0; length < body.length; length++) {
        const reading = readRevocationMessage({
          ...fixture.properties,
          body: body.subarray(0, length),
        });
        assert.equal(reading.kind, 'drop', `${fixture.name} cut at ${length}`);
      }
    }
  });

  it('are refused with bytes left over', () => {
    for (const fixture of FIXTURES.slice(0, 3)) {
      const body = Buffer.concat([fixtureBody(fixture), Buffer.from([0])]);
      assert.equal(readRevocationMessage({ ...fixture.properties, body }).kind, 'drop');
    }
  });

  it('allocate nothing for counts and lengths that they do not have', () => {
    const huge = ['7fffffff', '80000000', 'ffffffff'];
    const before = process.memoryUsage();
    for (const count of huge) {
      for (const body of [
        `00000004${count}`,
        `0000000a${count}0161a0${count}`,
        `00000009${count}016198${count}`,
        count,
        `00000001610003${count}`,
        `00000001 61 00 03 7fffffff`,
        `005377d1${count}${count}`,
        `005377d100000004${count}`,
        `005375b0${count}`,
        `aced00057a${count}`,
        `aced0005 7708 0001 61 0001 62 ${count.slice(0, 4)}`,
      ])
        assertTame(bytes(body));
    }
    const text = (length: string): Buffer => Buffer.concat([Buffer.from([0]), bytes(length)]);
    for (const count of huge) {
      assertTame(rabbitmqJms('RMQTextMessage', text(count)));
      assertTame(rabbitmqJms('RMQMapMessage', bytes(count)));
    }
    const after = process.memoryUsage();
    assert.ok(after.arrayBuffers - before.arrayBuffers < 32 * 1024 * 1024);
  });

  it('with too many entries, or one name twice, are refused', () => {
    const many = new Map(Array.from({ length: 1001 }, (_, i) => [`n${i}`, i] as const));
    assert.throws(() => readAmqpMap(writeAmqpMap(many)), /too many/);
    assert.throws(() => readAmqpMap(bytes('0000000a 00000002 0161f0 0161f0')), /twice/);
  });

  it('never make a decoder throw anything but its own error (random bytes)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (body) => {
        assertTame(body);
        assertTame(Buffer.concat([JAVA_MAGIC, body]));
      }),
      { numRuns: 300 },
    );
  });

  it('never make a decoder throw anything but its own error (mutated fixtures)', () => {
    const edit = fc.record({
      at: fc.nat(700),
      remove: fc.nat(6),
      insert: fc.oneof(
        fc.uint8Array({ maxLength: 6 }),
        fc
          .constantFrom('7fffffff', '80000000', 'ffffffff', '73', '72', '75', '7a', '71007e0000')
          .map((hex) => new Uint8Array(bytes(hex))),
      ),
    });
    fc.assert(
      fc.property(
        fc.constantFrom(...fixtureBodies),
        fc.array(edit, { minLength: 1, maxLength: 5 }),
        (fixture, edits) => {
          let body: Buffer = fixture;
          for (const { at, remove, insert } of edits) {
            const start = at % (body.length + 1);
            body = Buffer.concat([body.subarray(0, start), insert, body.subarray(start + remove)]);
          }
          assertTame(body);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('never make the reader of JSON throw', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        readJson(value);
        readJson({ event: { payloadData: value } });
        readJson({ map: { entry: value } });
        readJson({ revokedToken: value, ttl: value, issuer: value, type: value });
      }),
    );
    for (const deep of ['['.repeat(60_000), '{"a":'.repeat(12_000)])
      assert.equal(
        readRevocationMessage({ body: Buffer.from(deep), contentType: 'text/plain' }).kind,
        'drop',
      );
  });
});

describe('maps that are written', () => {
  it('are read back, and use only codes that Apache Qpid knows', () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }),
          fc.oneof(
            fc.string({ unit: 'grapheme' }),
            fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
            fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
          ),
        ),
        (dictionary) => {
          const fields = new Map(Object.entries(dictionary));
          assert.deepEqual(readAmqpMap(writeAmqpMap(fields)), fields);
        },
      ),
    );
    const fixture = FIXTURES[0];
    assert.ok(fixture);
    assert.deepEqual(
      writeAmqpMap(
        new Map([
          ['revokedToken', FIXTURE_TOKEN],
          ['ttl', '3600'],
        ]),
      ),
      fixtureBody(fixture),
    );
  });

  it('are refused where a length field cannot say it', () => {
    assert.throws(() => writeAmqpMap(new Map([['n', 'x'.repeat(65_536)]])), RangeError);
    assert.throws(() => writeAmqpMap(new Map([['n'.repeat(256), 'x']])), RangeError);
    assert.throws(() => writeAmqpMap(new Map([['n', 2 ** 31]])), RangeError);
  });
});
