import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load, problemOf, problemsOf, warningsOf } from './fixture.ts';

/** Lines of `[tokenRevocationConfig.persistent]`, enabled. */
function persistent(...lines: string[]): string {
  const head = '[tokenRevocationConfig.persistent]\nenablePersistentStorageRetrieval = true\n';
  return `${head}${lines.join('\n')}\n`;
}

/** Lines of one `[[tokenRevocationConfig.sources]]`. */
function further(...lines: string[]): string {
  return `[[tokenRevocationConfig.sources]]\n${lines.join('\n')}\n`;
}

function only(text: string) {
  const [source, ...others] = load(text).config.revocation.sources;
  assert.ok(source !== undefined);
  assert.deepEqual(others, []);
  return source;
}

const at = 'tokenRevocationConfig.persistent';
const first = 'tokenRevocationConfig.sources.0';

/** The three configurations that WSO2's own page gives, word for word. */
const WSO2_PAGE = (realtime: boolean, stored: boolean) => `    [tokenRevocationConfig]
      [tokenRevocationConfig.realtime]
        enableRealtimeMessageRetrieval = ${realtime}
        jmsConnectionTopic = "tokenRevocation"
        jmsConnectioninitialContextFactory = "wso2mbInitialContextFactory"
        jmsConnectionProviderUrl= "amqp://admin:admin@carbon/carbon?brokerlist='tcp://localhost:5672'"
        jmsConnectionUsername = ""
        jmsConnectionPassword = ""
      [tokenRevocationConfig.persistent]
        enablePersistentStorageRetrieval = ${stored}
        type = "default"
        endpointURL = "https://localhost:9443/internal/data/v1"
        username = "admin"
        password = "admin"
`;

test('the three configurations of the WSO2 page mean what they say', () => {
  const common = {
    ttlUnit: 'auto',
    issuers: undefined,
    rules: ['subject', 'session', 'client', 'claims'],
  };
  const amqp = {
    name: 'realtime',
    type: 'amqp',
    url: "amqp://admin:admin@carbon/carbon?brokerlist='tcp://localhost:5672'",
    topic: 'tokenRevocation',
    username: '',
    password: '',
    durableSubscription: undefined,
    ...common,
    required: false,
  };
  const hub = {
    name: 'persistent',
    type: 'event-hub',
    url: 'https://localhost:9443/internal/data/v1',
    credentials: { username: 'admin', password: 'admin' },
    reconcileIntervalMs: 20_000,
    ...common,
    required: true,
  };
  for (const [realtime, stored, expected] of [
    [true, true, [amqp, hub]],
    [true, false, [{ ...amqp, required: true }]],
    [false, true, [hub]],
  ] as const) {
    const { config, notes } = load(WSO2_PAGE(realtime, stored));
    assert.deepEqual(config.revocation.sources, expected);
    assert.equal(notes.length, 1);
  }
});

test('URL and credentials default by the type of the store', () => {
  const hub = only(persistent());
  assert.equal(hub.type, 'event-hub');
  assert.equal(hub.url, 'https://localhost:9443/internal/data/v1');
  assert.deepEqual(hub.credentials, { username: 'admin', password: 'admin' });
  const etcd = only(persistent('type = "etcd"'));
  assert.equal(etcd.type, 'etcd');
  assert.deepEqual(etcd.urls, ['https://127.0.0.1:2379/v2/keys/jti/']);
  assert.deepEqual(etcd.credentials, { username: 'root', password: 'root' });
  assert.equal(hub.reconcileIntervalMs, 20_000);
  assert.equal(etcd.reconcileIntervalMs, 20_000);
  const open = only(persistent('type = "etcd"', 'username = ""', 'password = ""'));
  assert.ok(open.type === 'etcd' && open.credentials === undefined);
});

test('what is proved by reading is read more often than maxStaleness, and refused otherwise', () => {
  const interval = (...lines: string[]) => {
    const source = only(persistent(...lines));
    return 'reconcileIntervalMs' in source ? source.reconcileIntervalMs : undefined;
  };
  const strict = '[tokenRevocationConfig]\nmaxStaleness = "2s"\n';
  const short = only(strict + persistent());
  assert.equal(short.type === 'event-hub' && short.reconcileIntervalMs, 666);
  assert.equal(interval('type = "custom"'), 20_000);
  assert.equal(
    problemOf(persistent('reconcileInterval = "61s"')),
    `ERR_CONFIG_CONTRADICTION 3 ${at}.reconcileInterval`,
  );
  const v3 = ['type = "etcd"', 'endpointURL = "https://a:2379/v3/keys/jti/"'];
  assert.equal(interval(...v3), 300_000);
  assert.equal(interval(...v3, 'reconcileInterval = "10m"'), 600_000);
});

test('at least one source has to be required', () => {
  assert.equal(
    problemOf(persistent('required = false')),
    `ERR_CONFIG_CONTRADICTION 3 ${at}.required`,
  );
  const topic = '[tokenRevocationConfig.realtime]\nenableRealtimeMessageRetrieval = true\n';
  const both = load(`${topic}required = true\n${persistent('required = false')}`);
  assert.deepEqual(
    both.config.revocation.sources.map(({ required }) => required),
    [true, false],
  );
});

test('hostname wins over endpointURL when it is not empty', () => {
  const url = (...lines: string[]) => {
    const source = only(persistent(...lines, 'endpointURL = "https://b/v1/"'));
    return source.type === 'event-hub' ? source.url : undefined;
  };
  assert.equal(url('hostname = "https://a/v1"'), 'https://a/v1');
  assert.equal(url('hostname = ""'), 'https://b/v1');
});

test('useDefault means etcd beside another type, and is refused where it is not clear', () => {
  assert.equal(only(persistent('type = "custom"', 'useDefault = true')).type, 'etcd');
  assert.equal(only(persistent('type = "default"', 'useDefault = true')).type, 'event-hub');
  assert.equal(
    problemOf(persistent('useDefault = true')),
    `ERR_CONFIG_CONTRADICTION 3 ${at}.useDefault`,
  );
  const stream = [
    'type = "event-stream"',
    'endpointURL = "https://a/"',
    'username = "u"',
    'password = "p"',
  ];
  assert.match(problemOf(persistent(...stream, 'useDefault = true')), /CONTRADICTION 7/);
});

test('etcd takes several endpoints and a client certificate, the event hub neither', () => {
  const lines = ['endpointURL = ["https://a:2379/v3/keys/jti/", "https://b:2379/v3/keys/jti/"]'];
  const etcd = only(persistent('type = "etcd"', 'clientKeyStorePath = "/k.p12"', ...lines));
  const listed = only(persistent('type = "etcd"', 'endpointURL = "https://a:1, https://b:2"'));
  assert.deepEqual(listed.type === 'etcd' && listed.urls, ['https://a:1', 'https://b:2']);
  assert.ok(etcd.type === 'etcd');
  assert.equal(etcd.urls.length, 2);
  assert.deepEqual(etcd.clientKeyStore, { path: '/k.p12', password: 'ballerina' });
  assert.equal(problemOf(persistent(...lines)), `ERR_CONFIG_CONTRADICTION 3 ${at}.endpointURL`);
  assert.match(problemOf(persistent('clientKeyStorePath = "/k.p12"')), /CONTRADICTION 3/);
});

test('what is no URL to call is refused, without being repeated', () => {
  for (const [type, url] of [
    ['etcd', 'etcd-host'],
    ['etcd', 'localhost:2379'],
    ['etcd', 'ftp://localhost/'],
    ['default', ''],
    ['default', 'https://admin:c4n4ry@localhost/'],
    ['default', 'https://localhost/#c4n4ry'],
  ]) {
    const [problem] = problemsOf(persistent(`type = "${type}"`, `endpointURL = "${url}"`));
    assert.equal(problem?.code, 'ERR_CONFIG_BAD_VALUE', url);
    assert.equal(problem.place.line, 4);
    assert.doesNotMatch(problem.message, /c4n4ry/);
  }
});

test('an event stream needs an encrypted URL and somebody to read as', () => {
  const stream = (url: string, ...lines: string[]) =>
    persistent('type = "event-stream"', `endpointURL = "${url}"`, ...lines);
  const reader = ['username = "u"', 'password = "p"'];
  const source = only(stream('https://sts:9443/events', ...reader));
  assert.ok(source.type === 'event-stream');
  assert.equal(source.url, 'https://sts:9443/events');
  for (const host of ['localhost', '127.0.0.1', '127.8.0.1', '[::1]'])
    assert.equal(only(stream(`http://${host}:1/events`, ...reader)).type, 'event-stream');
  for (const host of [
    'sts',
    '10.0.0.1',
    '127.0.0.1.evil.example',
    '[::2]',
    'localhost.evil.example',
  ])
    assert.equal(
      problemOf(stream(`http://${host}:1/`, ...reader)),
      `ERR_CONFIG_BAD_VALUE 4 ${at}.endpointURL`,
    );
  assert.match(problemOf(stream('https://sts/events')), /^ERR_CONFIG_CONTRADICTION 1 .*username$/);
  assert.match(
    problemOf(stream('https://sts/', 'username = ""', 'password = ""')),
    /CONTRADICTION/,
  );
  assert.equal(only(stream('https://sts/', 'clientKeyStorePath = "k.pem"')).type, 'event-stream');
  assert.match(
    problemOf(persistent('type = "event-stream"', ...reader)),
    /CONTRADICTION 1 .*endpointURL$/,
  );
});

test('user name and password come together', () => {
  assert.equal(
    problemOf(persistent('username = "u"')),
    `ERR_CONFIG_CONTRADICTION 3 ${at}.username`,
  );
  assert.equal(
    problemOf(persistent('password = "p"')),
    `ERR_CONFIG_CONTRADICTION 3 ${at}.password`,
  );
  const realtime = '[tokenRevocationConfig.realtime]\nenableRealtimeMessageRetrieval = true\n';
  assert.match(problemOf(`${realtime}jmsConnectionUsername = "u"`), /CONTRADICTION 3/);
  assert.match(problemOf(`${realtime}jmsConnectionPassword = "c4n4ry"`), /CONTRADICTION 3/);
});

test('any other type is the extension, with the section as written', () => {
  const text = persistent(
    'type = "redis"',
    'endpointURL = "redis:6379"',
    'db = 3',
    '[tokenRevocationConfig.persistent.tls]',
    'ca = "x"',
  );
  const source = only(text);
  assert.ok(source.type === 'extension');
  assert.equal(source.extensionType, 'redis');
  assert.deepEqual(source.section, {
    enablePersistentStorageRetrieval: true,
    type: 'redis',
    endpointURL: 'redis:6379',
    db: 3,
    tls: { ca: 'x' },
  });
  assert.match(warningsOf(persistent('type = "ectd"')).join(), /if "etcd" is meant/);
});

test('own keys are for an extension only', () => {
  for (const type of ['default', 'etcd', 'event-stream']) {
    const lines = [
      'username = "u"',
      'password = "p"',
      'endpointURL = "https://a/"',
      'usrname = "x"',
    ];
    const problems = problemsOf(persistent(`type = "${type}"`, ...lines));
    assert.equal(problems.length, 1);
    assert.equal(problems[0]?.nearest, `${at}.username`);
  }
  assert.match(problemOf('[tokenRevocationConfig.persistent]\nfoo = 1'), /UNKNOWN_KEY 2/);
});

test('further sources have a name of their own, a type, and the keys of that type', () => {
  const sources = load(
    further(
      'name = "a"',
      'type = "amqp"',
      'jmsConnectionProviderUrl = "amqp://u:p@c/v?brokerlist=\'tcp://h:1\'"',
      'ttlUnit = "seconds"',
    ) + further('name = "b"', 'type = "etcd"', 'reconcileInterval = 5'),
  ).config.revocation.sources;
  assert.deepEqual(
    sources.map(({ name, type }) => [name, type]),
    [
      ['a', 'amqp'],
      ['b', 'etcd'],
    ],
  );
  assert.equal(sources[0]?.ttlUnit, 'seconds');
  assert.ok(sources[1]?.type === 'etcd' && sources[1].reconcileIntervalMs === 5000);
  for (const [lines, problem] of [
    [['type = "etcd"'], `ERR_CONFIG_CONTRADICTION 1 ${first}.name`],
    [['name = "a"'], `ERR_CONFIG_CONTRADICTION 1 ${first}.type`],
    [
      ['name = "a"', 'type = "redis"', 'topic = 1'],
      `ERR_CONFIG_BAD_VALUE 3 ${first}.type | ERR_CONFIG_UNKNOWN_KEY 4 ${first}.topic`,
    ],
    [['name = "realtime"', 'type = "etcd"'], `ERR_CONFIG_CONTRADICTION 2 ${first}.name`],
    [
      ['name = "a"', 'type = "amqp"'],
      `ERR_CONFIG_CONTRADICTION 1 ${first}.jmsConnectionProviderUrl`,
    ],
    [
      ['name = "a"', 'type = "etcd"', 'jmsConnectionTopic = "x"'],
      `ERR_CONFIG_CONTRADICTION 4 ${first}.jmsConnectionTopic`,
    ],
    [
      ['name = "a"', 'type = "amqp"', 'jmsConnectionProviderUrl = "amqps://c4n4ry"'],
      `ERR_CONFIG_BAD_VALUE 4 ${first}.jmsConnectionProviderUrl`,
    ],
  ] as const) {
    assert.equal(problemOf(further(...lines)), problem);
  }
  const twice = further('name = "a"', 'type = "etcd"').repeat(2);
  assert.equal(problemOf(twice), 'ERR_CONFIG_CONTRADICTION 5 tokenRevocationConfig.sources.1.name');
});

test('sources may be confined to configured issuers only', () => {
  const issuers =
    '[[jwtTokenConfig]]\nissuer = "https://a"\n[[jwtTokenConfig]]\nissuer = "https://b"\n';
  const confined = load(issuers + persistent('issuers = "https://a"'));
  assert.deepEqual(confined.config.revocation.sources[0]?.issuers, ['https://a']);
  assert.ok(!confined.notes.some(({ message }) => message.includes('issuers')));
  assert.match(warningsOf(issuers + persistent()).join(), /no source is confined by `issuers`/);
  const [problem] = problemsOf(issuers + persistent('issuers = ["https://aa"]'));
  assert.equal(problem?.code, 'ERR_CONFIG_BAD_VALUE');
  assert.equal(problem.nearest, 'https://a');
  assert.match(problemOf(issuers + persistent('issuers = []')), /BAD_VALUE 7/);
});

test('intervals that would never come, or always, are refused', () => {
  for (const interval of ['0', '-1', '"0s"', '"-5s"', '"2d"', '1.5'])
    assert.match(
      problemOf(persistent(`reconcileInterval = ${interval}`)),
      /^ERR_CONFIG_\w+ 3 .*reconcileInterval$/,
      interval,
    );
});

test('plain http to a store on another machine is warned of', () => {
  assert.match(
    warningsOf(persistent('type = "etcd"', 'endpointURL = "http://etcd:2379/"')).join(),
    /plain http/,
  );
  assert.deepEqual(
    warningsOf(persistent('type = "etcd"', 'endpointURL = "http://127.0.0.1:2379/"')),
    [],
  );
});

test('whenUnknown is one of its two words', () => {
  const text = (word: string) => `[tokenRevocationConfig]\nwhenUnknown = "${word}"\n`;
  assert.equal(load(text('allow')).config.revocation.whenUnknown, 'allow');
  assert.match(problemOf(text('maybe')), /BAD_VALUE 2/);
});
