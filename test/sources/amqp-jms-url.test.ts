import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { OperatorError } from '../../src/errors.ts';
import { createAmqpSource } from '../../src/sources/amqp.ts';
import { parseJmsUrl } from '../../src/sources/jms-url.ts';
import { recordedLog } from '../support/recorded-log.ts';

const SPEC = "amqp://admin:admin@carbon/carbon?brokerlist='tcp://localhost:5672'";
const SECRET = 'S3cr-et%21';

function refusal(url: string): string {
  let message = '';
  assert.throws(
    () => parseJmsUrl(url),
    (error) => {
      assert.ok(error instanceof OperatorError);
      assert.equal(error.code, 'ERR_JMS_URL');
      ({ message } = error);
      return true;
    },
  );
  assert.ok(!message.includes('S3cr'), 'the password is not told');
  return message;
}

describe('a JMS connection URL', () => {
  it('of the spec is read', () => {
    const url = parseJmsUrl(SPEC);
    assert.deepEqual(
      [url.username, url.password, url.clientId, url.vhost, url.topicExchange, url.warnings],
      ['admin', 'admin', 'carbon', '/carbon', 'amq.topic', []],
    );
    assert.equal(url.brokers.length, 1);
    const [broker] = url.brokers;
    assert.deepEqual(
      [broker.host, broker.port, broker.tls, broker.verifyHostname, broker.heartbeatSeconds],
      ['localhost', 5672, false, true, undefined],
    );
    assert.equal(broker.connectTimeoutMs, 30_000);
  });

  it('with nested quotes is read, however %26 or &amp; stand for &', () => {
    const plain =
      "amqp://admin:admin@clientid/carbon?failover='roundrobin?cyclecount='2''&brokerlist='tcp://h1:5672?retries='5'&connectdelay='50';tcp://h2:5673?retries='5'&connectdelay='60''";
    for (const text of [
      plain,
      plain.replaceAll('&', '%26'),
      plain.replaceAll('&', '&amp;'),
      plain.replaceAll("5'&c", "5'%26c"),
      plain.replaceAll('&', ','),
    ]) {
      const url = parseJmsUrl(text);
      assert.deepEqual(
        url.brokers.map(({ host, port, connectDelayMs }) => [host, port, connectDelayMs]),
        [
          ['h1', 5672, 50],
          ['h2', 5673, 60],
        ],
      );
      assert.equal(url.warnings.length, 2, 'of the missing TLS, by broker');
    }
  });

  it('undoes percent-encoding once', () => {
    const url = parseJmsUrl(
      "amqp://a%3Ab:p%40ss:w%2F%2526@clientid/c%20d?brokerlist='tcp://h?ssl='true'%26trust_store_password='x%2526''",
    );
    assert.deepEqual(
      [url.username, url.password, url.vhost, url.brokers[0].trustStorePassword],
      ['a:b', 'p@ss:w/%26', '/c d', 'x%26'],
    );
  });

  it('is taken apart as the JMS clients do it', () => {
    const rest = "?brokerlist='tcp://localhost:5672'";
    const parts = (text: string): unknown[] => {
      const url = parseJmsUrl(text + rest);
      return [url.username, url.password, url.clientId, url.vhost, url.warnings.length];
    };
    assert.deepEqual(parts('amqp://admin:p@ss@clientid/carbon'), [
      'admin',
      'p',
      'ss@clientid',
      '/carbon',
      1,
    ]);
    assert.deepEqual(parts('amqp://u:p@my_client/v'), ['u', 'p', 'my_client', '/v', 0]);
    assert.deepEqual(parts('amqp:///carbon'), [undefined, undefined, undefined, '/carbon', 0]);
    assert.deepEqual(parts('amqp://u:@c/%2F'), ['u', '', 'c', '//', 0]);
    assert.deepEqual(parts('amqp://u:p@cid/'), ['u', 'p', 'cid', '/', 0]);
  });

  it('reads brokers without port, without transport, and by IPv6 address', () => {
    const brokers = (list: string): unknown[] =>
      parseJmsUrl(`amqp://u:p@c/v?brokerlist='${list}'`).brokers.map(({ host, port }) => [
        host,
        port,
      ]);
    assert.deepEqual(brokers('tcp://localhost'), [['localhost', 5672]]);
    assert.deepEqual(brokers("localhost:5671?ssl='true'"), [['localhost', 5671]]);
    assert.deepEqual(brokers('tcp://[::1]:5673;socket://h2'), [
      ['::1', 5673],
      ['h2', 5672],
    ]);
  });

  it('reads the options of a broker, or in its place the options of the URL', () => {
    const { brokers } = parseJmsUrl(
      "amqp://u:p@c/v?heartbeat='7'&trust_store='/shared.jks'&maxprefetch='20'&defaultTopicExchange='my.topic'" +
        "&brokerlist='tcp://h1?ssl='true'&trust_store='/own.p12'&trust_store_password='x'&ssl_verify_hostname='false'&sasl_mechs='EXTERNAL PLAIN';" +
        "tcp://h2?idle_timeout='4500'&heartbeat='3'&connecttimeout='1000';tcp://h3?idle_timeout='4500''",
    );
    const [first, second, third] = brokers;
    assert.deepEqual(
      [first.tls, first.trustStore, first.trustStorePassword, first.verifyHostname],
      [true, '/own.p12', 'x', false],
    );
    assert.deepEqual(first.saslMechanisms, ['EXTERNAL', 'PLAIN']);
    assert.deepEqual(
      [first.heartbeatSeconds, second?.heartbeatSeconds, third?.heartbeatSeconds],
      [7, 3, 7],
    );
    assert.deepEqual(
      [second?.tls, second?.trustStore, second?.connectTimeoutMs],
      [false, '/shared.jks', 1000],
    );
    const url = parseJmsUrl(
      "amqp://u:p@c/v?maxprefetch='20'&defaultTopicExchange='my.topic'&ssl='true'&brokerlist='tcp://h?ssl='false''",
    );
    assert.deepEqual(
      [url.maxPrefetch, url.topicExchange, url.brokers[0].tls],
      [20, 'my.topic', true],
    );
    const idle = parseJmsUrl("amqp://u:p@c/v?brokerlist='tcp://h?idle_timeout='4500''");
    assert.equal(idle.brokers[0].heartbeatSeconds, 5);
  });

  it('leaves one broker where failover says so, and says so', () => {
    for (const method of ['singlebroker', 'nofailover']) {
      const url = parseJmsUrl(
        `amqp://u:p@c/v?brokerlist='tcp://127.0.0.1;tcp://[::1]',failover='${method}?retries='3''`,
      );
      assert.deepEqual(
        [url.brokers.length, url.brokers[0].host, url.warnings.length],
        [1, '127.0.0.1', 1],
      );
    }
  });

  it('warns where a broker elsewhere is reached without TLS', () => {
    const warnings = (broker: string): readonly string[] =>
      parseJmsUrl(`amqp://u:${SECRET}@c/v?brokerlist='${broker}'`).warnings;
    assert.match(
      warnings('tcp://broker.example').join(),
      /broker\.example.*without TLS.*ssl='true'/,
    );
    for (const broker of ["tcp://broker.example?ssl='true'", 'tcp://127.0.0.1', 'tcp://[::1]:1'])
      assert.deepEqual(warnings(broker), []);
  });

  it('warns of options that have no effect, by name only', () => {
    const url = parseJmsUrl(
      `amqp://u:p@c/v?sync_publish='all'&typo='${SECRET}'&brokerlist='tcp://localhost?encryption_key_store='${SECRET}''`,
    );
    assert.equal(url.warnings.length, 2);
    assert.match(url.warnings.join(), /typo.*encryption_key_store|encryption_key_store.*typo/s);
    assert.ok(!url.warnings.join().includes('S3cr'));
  });

  it('that cannot be used is refused with a remedy and without its password', () => {
    const at = `amqp://u:${SECRET}@c/v?`;
    for (const [url, pattern] of [
      [`${at}brokerlist=tcp://h:5672`, /not in quotes.*brokerlist='value'/],
      [`${at}brokerlist='ssl://h:5671'`, /ssl='true'/],
      [at, /no brokerlist.*brokerlist='tcp:/],
      [`${at}brokerlist=''`, /no brokerlist/],
      [`${at}brokerlist=';'`, /brokerlist is empty/],
      [`amqp://u:${SECRET}@c/v`, /no brokerlist/],
      [`amqps://u:${SECRET}@c/v?brokerlist='tcp://h'`, /amqp:\/\/.*ssl='true'/],
      [`http://u:${SECRET}@c/v`, /does not begin with amqp/],
      ["amqp://admin@c/v?brokerlist='tcp://h'", /no password/],
      [`amqp://u:${SECRET}@c?brokerlist='tcp://h'`, /no \/vhost/],
      [`amqp://u:S3cr/et@c/v?brokerlist='tcp://h'`, /%2F/],
      [`amqp://u:S3cr#et@c/v?brokerlist='tcp://h'`, /%23/],
      [`amqp://u:S3cr%zz@c/v?brokerlist='tcp://h'`, /%25/],
      [`amqp://u:{secretAlias:S3cr}@c/v?brokerlist='tcp://h'`, /secure vault.*\$\{env:NAME\}/],
      [`${at}brokerlist='tcp://h:0'`, /tcp:\/\/host:port/],
      [`${at}brokerlist='tcp://h:65536'`, /tcp:\/\/host:port/],
      [`${at}brokerlist='tcp://u:S3cr@h:5672'`, /tcp:\/\/host:port/],
      [`${at}brokerlist='tcp://h?ssl='yes''`, /ssl must be 'true' or 'false'/],
      [`${at}brokerlist='tcp://h?heartbeat='-1''`, /heartbeat must be a whole number/],
      [`${at}brokerlist='tcp://h?connecttimeout='0''`, /connecttimeout must be/],
      [`${at}brokerlist='tcp://h`, /quotes around the value of brokerlist/],
      [`${at}brokerlist='tcp://h'x`, /quotes around the value of brokerlist/],
      [`${at}brokerlist='tcp://h'&S3cr`, /without ='value'/],
    ] as const)
      assert.match(refusal(url), pattern, url);
  });

  it('of any shape is read or refused, never anything else', () => {
    const piece = fc.constantFrom(
      "'",
      '&',
      ';',
      ',',
      '=',
      '?',
      '/',
      '@',
      ':',
      '%',
      "='",
      "'&",
      'brokerlist',
      'tcp://',
      'h:1',
      'ssl',
      'true',
      '&amp;',
      '%26',
      'é',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        for (const prefix of ['', 'amqp://', 'amqp://u:p@c/v?', "amqp://u:p@c/v?brokerlist='"])
          try {
            parseJmsUrl(prefix + pieces.join(''));
          } catch (error) {
            assert.ok(error instanceof OperatorError, String(error));
          }
      }),
    );
  });
});

describe('an adapter made of a JMS connection URL', () => {
  const create = (providerUrl: string, extra: object = {}): void => {
    createAmqpSource({ name: 'amqp', topic: 't', providerUrl, ...extra }, recordedLog());
  };

  it('is refused without a user, with unknown SASL mechanisms, or stores that cannot be read', () => {
    for (const [url, pattern] of [
      ["amqp:///carbon?brokerlist='tcp://h'", /no user name/],
      ["amqp://u:p@c/v?brokerlist='tcp://h?sasl_mechs='CRAM-MD5''", /sasl_mechs/],
      ["amqp://u:p@c/v?brokerlist='tcp://h?ssl='true'&trust_store='/x.jks''", /trust_store/],
      ["amqp://u:p@c/v?brokerlist='tcp://h?ssl='true'&key_store='/x.jks''", /client_cert_path/],
    ] as const)
      assert.throws(
        () => create(url),
        (error) => {
          assert.ok(error instanceof OperatorError);
          assert.equal(error.code, 'ERR_JMS_URL');
          assert.match(error.message, pattern);
          return true;
        },
      );
    create("amqp:///carbon?brokerlist='tcp://h'", { username: 'u', password: 'p' });
  });

  it('warns when host names are not verified', () => {
    const log = recordedLog();
    createAmqpSource(
      {
        name: 'amqp',
        topic: 't',
        providerUrl: "amqp://u:p@c/v?brokerlist='tcp://h?ssl='true'&ssl_verify_hostname='false''",
      },
      log,
    );
    assert.match(log.lines.join('\n'), /^WARN \[TokenRevocationJMS\] .*ssl_verify_hostname/m);
  });
});
