import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RESPONSES, load, openapi, refusal, route } from './definition-files.ts';

describe('the base path', () => {
  it('is x-wso2-basePath, with {version} replaced', async (t) => {
    const basePath = async (top: Record<string, unknown>): Promise<string | undefined> =>
      (await load(t, { 'a.json': openapi(top) })).apis[0]?.basePath;
    assert.equal(await basePath({ 'x-wso2-basePath': '/p/{version}/' }), '/p/1.0.0');
    assert.equal(await basePath({ 'x-wso2-basePath': '/' }), '');
    const bare = { 'x-wso2-basePath': undefined };
    assert.equal(await basePath(bare), '/v2');
    const relative = {
      servers: [{ url: '/v9/' }],
      'x-wso2-production-endpoints': { urls: ['http://u'] },
    };
    assert.equal(await basePath({ ...bare, ...relative }), '/v9');
    const variables = { v: { default: 'v7' } };
    assert.equal(await basePath({ ...bare, servers: [{ url: 'http://u/{v}', variables }] }), '/v7');
  });

  it('defaults to / with a warning when nothing names one', async (t) => {
    const definition = openapi({
      'x-wso2-basePath': undefined,
      servers: undefined,
      'x-wso2-production-endpoints': { urls: ['http://u'] },
    });
    const { apis, warnings } = await load(t, { 'a.json': definition });
    assert.equal(apis[0]?.basePath, '');
    assert.match(
      warnings.join(),
      /basePath not found in the open API 'a\.json'\. Hence defaults to '\/'/,
    );
  });

  it('is refused when no request could have it', async (t) => {
    for (const value of ['pets', '/a//b', '/a/../b', '/a?b', '/{name}/v1', 5, null]) {
      const error = await refusal(t, { 'a.json': openapi({ 'x-wso2-basePath': value }) });
      assert.deepEqual([error.file, error.line], ['api_definitions/a.json', 7], error.message);
    }
  });
});

describe('endpoints', () => {
  const urls = (...list: string[]): { urls: string[] } => ({ urls: list });

  it('come from the extensions, the operation before the API, each kind by itself', async (t) => {
    const top = {
      'x-wso2-production-endpoints': urls('https://api-prod/', 'http://other:8080/x/'),
      'x-wso2-sandbox-endpoints': urls('https://api-sand'),
    };
    const api = await route(t, openapi(top));
    assert.deepEqual(api.production, ['https://api-prod', 'http://other:8080/x']);
    assert.deepEqual(api.sandbox, ['https://api-sand']);
    const own = await route(t, openapi(top, { 'x-wso2-sandbox-endpoints': urls('https://own') }));
    assert.deepEqual([own.production, own.sandbox], [api.production, ['https://own']]);
  });

  it('may be named once under x-wso2-endpoints and referred to', async (t) => {
    const named = {
      'x-wso2-endpoints': [{ one: urls('https://one') }, { two: urls('https://two') }],
    };
    const found = await route(
      t,
      openapi(
        { ...named, 'x-wso2-production-endpoints': '#/x-wso2-endpoints/one' },
        { 'x-wso2-sandbox-endpoints': '#/x-wso2-endpoints/two' },
      ),
    );
    assert.deepEqual([found.production, found.sandbox], [['https://one'], ['https://two']]);
    const wrong = openapi({ ...named, 'x-wso2-production-endpoints': '#/x-wso2-endpoints/onee' });
    assert.match(
      (await refusal(t, { 'a.json': wrong })).message,
      /a\.json:\d+: The endpoint reference .* not defined .*Did you mean '#\/x-wso2-endpoints\/one'\?/,
    );
  });

  it('are the servers when no extension names them: of the operation, the path, the API', async (t) => {
    const server = (url: string): unknown => ({ servers: [{ url }] });
    const get = { ...RESPONSES };
    const of = async (item: object, operation: object): Promise<readonly string[]> => {
      const paths = { '/a': { ...item, get: { ...get, ...operation } } };
      return (await route(t, openapi({ paths }))).production;
    };
    assert.deepEqual(await of({}, {}), ['https://up.example/v2']);
    assert.deepEqual(await of(server('https://item') as object, {}), ['https://item']);
    const both = await of(server('https://item') as object, server('https://operation') as object);
    assert.deepEqual(both, ['https://operation']);
    const sandboxOnly = await route(t, openapi({ 'x-wso2-sandbox-endpoints': urls('https://s') }));
    assert.deepEqual(sandboxOnly.production, ['https://up.example/v2']);
  });

  it('leave out a plain server that is also offered with https, and say so', async (t) => {
    const servers = [{ url: 'http://up.example/v2' }, { url: 'https://up.example/v2' }];
    const { apis, warnings } = await load(t, { 'a.json': openapi({ servers }) });
    assert.deepEqual(apis[0]?.routes[0]?.production, ['https://up.example/v2']);
    assert.match(warnings.join(), /only https is used/);
    const explicit = urls('http://up.example', 'https://up.example');
    const kept = await route(t, openapi({ 'x-wso2-production-endpoints': explicit }));
    assert.equal(kept.production.length, 2);
  });

  it('of Swagger 2 are schemes, host and basePath, https unless it says otherwise', async (t) => {
    const swagger = (more: object): Record<string, unknown> => ({
      swagger: '2.0',
      info: { title: 'Pets', version: '1' },
      host: 'up.example:8443',
      basePath: '/v2',
      paths: { '/a': { get: RESPONSES } },
      ...more,
    });
    assert.deepEqual((await route(t, swagger({}))).production, ['https://up.example:8443/v2']);
    const plain = await route(t, swagger({ schemes: ['http'] }));
    assert.deepEqual(plain.production, ['http://up.example:8443/v2']);
    const error = await refusal(t, { 'a.json': swagger({ host: undefined }) });
    assert.match(error.message, /'servers' or wso2 specific extensions/);
  });

  it('must be there', async (t) => {
    for (const servers of [undefined, [], [{ url: '/relative' }]]) {
      const error = await refusal(t, { 'a.json': openapi({ servers }) });
      assert.match(
        error.message,
        /^api_definitions\/a\.json:1: Either open API default attribute 'servers' or wso2 specific extensions .* included under API Level/,
      );
    }
    const own = { 'x-wso2-production-endpoints': urls('https://own') };
    assert.deepEqual((await route(t, openapi({ servers: undefined }, own))).production, [
      'https://own',
    ]);
  });

  it('are refused with the place when they are wrong or not built yet', async (t) => {
    const cases: [unknown, RegExp, ('ERR_DEFINITION' | 'ERR_NOT_BUILT_YET')?][] = [
      [urls('up.example'), /Malformed Url is provided :up\.example/],
      [urls('ftp://up.example'), /Malformed Url/],
      [urls('https://up.example?x=1'), /Malformed Url.*query/],
      [urls('https://up.example/{v}'), /Malformed Url/],
      [urls('https://user:secret@up.example'), /user name or password/],
      [{ urls: [5] }, /Malformed Url is provided :5/],
      [urls(), /has no `urls`/],
      [{}, /has no `urls`/],
      [['https://up.example'], /not a mapping/],
      [{ ...urls('https://u'), timeout: 5 }, /endpoint key 'timeout' is not known/],
      [{ ...urls('https://u'), urlss: [] }, /Did you mean urls\?/],
      [{ ...urls('https://u'), type: 'hhtp' }, /endpoint type "hhtp" is not known/],
      [{ ...urls('https://u', 'https://v'), type: 'http' }, /takes one URL/],
      [{ ...urls('https://u'), type: 'failover' }, /failover .*not built yet/, 'ERR_NOT_BUILT_YET'],
      [{ ...urls('https://u'), securityConfig: {} }, /securityConfig/, 'ERR_NOT_BUILT_YET'],
      [
        { ...urls('https://u'), advanceEndpointConfig: { retryConfig: {}, circuitBreaker: {} } },
        /advanceEndpointConfig \(retryConfig, circuitBreaker\) is not built yet/,
        'ERR_NOT_BUILT_YET',
      ],
      [urls('etcd(key, https://u)'), /etcd .*not built yet/, 'ERR_NOT_BUILT_YET'],
      [
        urls('etcd(key)'),
        /'etcd' key containing string should be provided as 'etcd \(etcd_key, default_url\)'/,
      ],
    ];
    for (const name of ['x-wso2-production-endpoints', 'x-wso2-sandbox-endpoints']) {
      for (const [value, message, code] of cases) {
        const error = await refusal(t, { 'a.json': openapi({}, { [name]: value }) });
        assert.match(error.message, message);
        assert.equal(error.code, code ?? 'ERR_DEFINITION');
        assert.equal(error.file, 'api_definitions/a.json');
        assert.ok((error.line ?? 0) > 20, error.message);
        assert.doesNotMatch(error.message, /secret/);
      }
    }
    const listed = { ...urls('https://u', 'https://v'), type: 'load_balance' };
    const balanced = await route(t, openapi({ 'x-wso2-production-endpoints': listed }));
    assert.deepEqual(balanced.production, ['https://u', 'https://v']);
  });

  it('under x-wso2-endpoints are checked even when nothing refers to them', async (t) => {
    const of = (value: unknown): Promise<Error> =>
      refusal(t, { 'a.json': openapi({ 'x-wso2-endpoints': value }) });
    assert.match((await of([{ a: urls('nowhere') }])).message, /Malformed Url/);
    assert.match((await of({ a: urls('https://u') })).message, /not a list/);
    const twice = [{ a: urls('https://u') }, { a: urls('https://v') }];
    assert.match((await of(twice)).message, /'a' is defined more than once/);
  });
});

describe('security', () => {
  const flows = {
    clientCredentials: { tokenUrl: 'https://t', scopes: { read: 'r', write: 'w', admin: 'a' } },
  };
  const components = {
    securitySchemes: {
      oauth: { type: 'oauth2', flows },
      more: { type: 'oauth2', flows },
      oidc: { type: 'openIdConnect', openIdConnectUrl: 'https://t/.well-known' },
      bearer: { type: 'http', scheme: 'Bearer' },
      basic: { type: 'http', scheme: 'basic' },
      key: { type: 'apiKey', in: 'header', name: 'x-key' },
    },
  };
  const secured = (own: object, top: object = {}): Record<string, unknown> =>
    openapi({ components, ...top }, { ...own });

  it('asks for a token whatever `security` says; only x-wso2-disable-security: true opens', async (t) => {
    for (const own of [{}, { security: [] }, { security: [{}] }, { security: [{ bearer: [] }] }]) {
      const found = await route(t, secured(own, { security: [{ oauth: ['read'] }] }));
      assert.equal(found.secured, true, JSON.stringify(own));
    }
    const off = { 'x-wso2-disable-security': true };
    const on = { 'x-wso2-disable-security': false };
    assert.equal((await route(t, secured(off))).secured, false);
    assert.equal((await route(t, secured({}, off))).secured, false);
    assert.equal((await route(t, secured(on, off))).secured, true);
    assert.equal((await route(t, secured(off, on))).secured, false);
  });

  it('must be opened by a boolean', async (t) => {
    for (const value of ['true', 1, null, 'yes']) {
      const error = await refusal(t, { 'a.json': secured({ 'x-wso2-disable-security': value }) });
      assert.match(error.message, /a\.json:\d+: x-wso2-disable-security is .*, not a boolean/);
    }
  });

  it('takes the scopes of the operation, else of the API; an alternative without scopes lifts none', async (t) => {
    const api = { security: [{ oauth: ['admin'] }] };
    const cases: [object, string[]][] = [
      [{}, ['admin']],
      [{ security: [] }, []],
      [{ security: [{ oauth: ['read', 'write'] }] }, ['read', 'write']],
      [{ security: [{ oauth: ['read'] }, { oidc: ['write'] }] }, ['read', 'write']],
      [{ security: [{ oauth: ['read'] }, { bearer: [] }, {}] }, ['read']],
      [{ security: [{ oauth: ['read'], bearer: [] }] }, ['read']],
    ];
    for (const [own, scopes] of cases) {
      assert.deepEqual((await route(t, secured(own, api))).scopes, scopes, JSON.stringify(own));
    }
    const opened = await route(t, secured({ 'x-wso2-disable-security': true }, api));
    assert.deepEqual(opened.scopes, []);
  });

  it('takes what happens while revocations may be missed from the operation, else from the API, else from nowhere', async (t) => {
    const stale = (value: string): object => ({ 'x-portcullis-when-stale': value });
    assert.equal('whenStale' in (await route(t, secured({}))), false);
    assert.equal((await route(t, secured({}, stale('allow')))).whenStale, 'allow');
    assert.equal((await route(t, secured(stale('introspect')))).whenStale, 'introspect');
    assert.equal((await route(t, secured(stale('deny'), stale('allow')))).whenStale, 'deny');
  });

  it('refuses any other word for it, with its place and what to write', async (t) => {
    for (const value of ['Deny', 'open', '', true, null, ['deny']]) {
      for (const definition of [
        secured({ 'x-portcullis-when-stale': value }),
        secured({}, { 'x-portcullis-when-stale': value }),
      ]) {
        const error = await refusal(t, { 'a.json': definition });
        assert.equal(error.code, 'ERR_DEFINITION');
        assert.match(
          error.message,
          /a\.json:\d+: x-portcullis-when-stale is .*\. Write one of deny, introspect, allow\.$/,
        );
      }
    }
    const mistyped = await refusal(t, { 'a.json': secured({ 'x-portcullis-when-stael': 'deny' }) });
    assert.match(mistyped.message, /Did you mean x-portcullis-when-stale\?/);
  });

  it('takes from the operation, else from the API, whether endpoints are called over HTTP/2', async (t) => {
    const http2 = (value: unknown): object => ({ 'x-portcullis-http2': value });
    assert.equal('http2' in (await route(t, secured({}))), false);
    assert.equal((await route(t, secured({}, http2(true)))).http2, true);
    assert.equal((await route(t, secured(http2(true)))).http2, true);
    assert.equal('http2' in (await route(t, secured(http2(false), http2(true)))), false);
    for (const value of ['true', 1, null, 'h2c']) {
      for (const definition of [secured(http2(value)), secured({}, http2(value))]) {
        const error = await refusal(t, { 'a.json': definition });
        assert.equal(error.code, 'ERR_DEFINITION');
        assert.match(
          error.message,
          /a\.json:\d+: x-portcullis-http2 is .*, not a boolean\. Write true or false, without quotes\.$/,
        );
      }
    }
  });

  it('takes from the operation, else from the API, whether it may become a WebSocket', async (t) => {
    const webSocket = (value: unknown): object => ({ 'x-portcullis-websocket': value });
    assert.equal('webSocket' in (await route(t, secured({}))), false);
    assert.equal((await route(t, secured({}, webSocket(false)))).webSocket, false);
    assert.equal((await route(t, secured(webSocket(false)))).webSocket, false);
    assert.equal(
      'webSocket' in (await route(t, secured(webSocket(true), webSocket(false)))),
      false,
    );
    const error = await refusal(t, { 'a.json': secured(webSocket('no')) });
    assert.match(
      error.message,
      /x-portcullis-websocket is "no", not a boolean\. Write true or false, without quotes\.$/,
    );
  });

  it('routes the paths of gRPC', async (t) => {
    const grpc = {
      ...secured({}),
      paths: {
        '/pkg.v1.Some_Service/DoIt': { post: { responses: { '200': { description: 'done' } } } },
      },
    };
    const { template, method } = await route(t, grpc);
    assert.equal(`${method} ${template}`, 'POST /pkg.v1.Some_Service/DoIt');
  });

  it('says where any one of several scopes is enough', async (t) => {
    const { warnings } = await load(t, {
      'a.json': secured({ security: [{ oauth: ['read', 'write'] }] }),
    });
    assert.match(warnings.join(), /a\.json:\d+: any one of the scopes read, write is enough/);
  });

  it('refuses schemes that are not built yet by name, where they are asked for', async (t) => {
    const cases: [object, RegExp][] = [
      [{ security: [{ key: [] }] }, /'key' \(type apiKey\) is not built yet/],
      [{ security: [{ basic: [] }] }, /'basic' \(http basic\) is not built yet/],
      [{ security: [{ bearer: [] }, { key: [] }] }, /'key' \(type apiKey\)/],
      [
        { security: [{ oauth: ['read'], more: ['write'] }] },
        /Scopes of two schemes at once is not built yet/,
      ],
    ];
    for (const [own, message] of cases) {
      for (const definition of [secured(own), secured({}, own)]) {
        const error = await refusal(t, { 'a.json': definition });
        assert.match(error.message, message);
        assert.equal(error.code, 'ERR_NOT_BUILT_YET');
        assert.ok((error.line ?? 0) > 10);
      }
    }
    const mutual = secured(
      { security: [{ tls: [] }] },
      {
        openapi: '3.1.0',
        components: { securitySchemes: { tls: { type: 'mutualTLS' } } },
      },
    );
    assert.match((await refusal(t, { 'a.json': mutual })).message, /'tls' \(mutual TLS\)/);
  });

  it('refuses schemes that are not declared and scopes that no token can carry', async (t) => {
    const undeclared = secured({ security: [{ oauht: [] }] });
    assert.match(
      (await refusal(t, { 'a.json': undeclared })).message,
      /a\.json:\d+: The security scheme 'oauht' is not declared\. Did you mean 'oauth'\?/,
    );
    const blank = secured({ security: [{ oauth: ['read write'] }] });
    assert.match(
      (await refusal(t, { 'a.json': blank })).message,
      /"read write" can be in no token/,
    );
  });

  it('of Swagger 2 works the same', async (t) => {
    const swagger = (scheme: object): Record<string, unknown> => ({
      swagger: '2.0',
      info: { title: 'Pets', version: '1' },
      host: 'up.example',
      securityDefinitions: { s: scheme },
      security: [{ s: (scheme as { type: string }).type === 'oauth2' ? ['read'] : [] }],
      paths: { '/a': { get: RESPONSES } },
    });
    const oauth = {
      type: 'oauth2',
      flow: 'application',
      tokenUrl: 'https://t',
      scopes: { read: 'r' },
    };
    assert.deepEqual((await route(t, swagger(oauth))).scopes, ['read']);
    for (const scheme of [{ type: 'basic' }, { type: 'apiKey', in: 'query', name: 'k' }]) {
      const error = await refusal(t, { 'a.json': swagger(scheme) });
      assert.equal(error.code, 'ERR_NOT_BUILT_YET');
    }
  });
});

describe('the WSO2 extensions', () => {
  const notBuilt: [string, unknown, ('api' | 'operation')[]][] = [
    ['x-wso2-cors', {}, ['api']],
    ['x-wso2-throttling-tier', '10kPerMin', ['api', 'operation']],
    ['x-throttling-tier', 'Gold', ['operation']],
    ['x-wso2-auth-header', 'X-Token', ['api']],
    ['x-wso2-request-interceptor', 'f', ['api', 'operation']],
    ['x-wso2-response-interceptor', 'java:a.B', ['api', 'operation']],
    ['x-wso2-response-cache', { enabled: true }, ['api']],
    ['x-wso2-transports', ['http', 'https'], ['api']],
    ['x-wso2-mutual-ssl', 'optional', ['api']],
    ['x-wso2-application-security', { 'security-types': ['api_key'] }, ['api', 'operation']],
    ['x-scope', 'read', ['operation']],
    ['x-auth-type', 'None', ['operation']],
  ];

  it('that are not built yet are refused by name, at either level', async (t) => {
    for (const [name, value, levels] of notBuilt) {
      for (const level of levels) {
        const holder = { [name]: value };
        const definition = level === 'api' ? openapi(holder) : openapi({}, holder);
        const error = await refusal(t, { 'a.json': definition });
        assert.equal(error.code, 'ERR_NOT_BUILT_YET');
        assert.ok(error.message.includes(name), error.message);
        assert.ok((error.line ?? 0) > 1);
      }
    }
  });

  it('are refused where they have no effect', async (t) => {
    const disable = { 'x-wso2-disable-security': true };
    const item = openapi({ paths: { '/a': { get: RESPONSES, ...disable } } });
    assert.match(
      (await refusal(t, { 'a.json': item })).message,
      /x-wso2-disable-security has no effect here\. It belongs to the top level of the definition or an operation/,
    );
    const info = openapi({ info: { title: 'a', version: '1', ...disable } });
    assert.match((await refusal(t, { 'a.json': info })).message, /has no effect here/);
    const base = openapi({}, { 'x-wso2-basePath': '/x' });
    assert.match((await refusal(t, { 'a.json': base })).message, /has no effect here/);
  });

  it('that are not known are refused with the nearest name', async (t) => {
    const error = await refusal(t, { 'a.json': openapi({}, { 'x-wso2-disable-securty': true }) });
    assert.match(
      error.message,
      /a\.json:\d+: The extension x-wso2-disable-securty is not known\. Did you mean x-wso2-disable-security\?/,
    );
    const shouted = await refusal(t, { 'a.json': openapi({ 'x-WSO2-Cors': {} }) });
    assert.match(shouted.message, /x-WSO2-Cors is not known\. Did you mean x-wso2-cors\?/);
  });

  it('that ask for nothing, and those of others, are accepted', async (t) => {
    const operation = {
      'x-throttling-tier': 'Unlimited',
      'x-auth-type': 'Application & Application User',
      'x-codegen': 1,
    };
    await route(t, openapi({ 'x-wso2-owner': 'admin', 'x-other': {} }, operation));
  });
});
