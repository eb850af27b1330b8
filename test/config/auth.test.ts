import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load, problemOf, problemsOf, warningsOf } from './fixture.ts';

const issuer = (...lines: string[]) => `[[jwtTokenConfig]]\n${lines.join('\n')}\n`;

test('the old single table is an issuer like one of the array', () => {
  const lines = 'issuer = "x"\naudience = "y"\nrequireJti = false\nalgorithms = ["es256", "PS512"]';
  const good = lines.replace('es256', 'ES256');
  const single = load(`[jwtTokenConfig]\n${good}`).config.auth.issuers;
  assert.deepEqual(single, load(`[[jwtTokenConfig]]\n${good}`).config.auth.issuers);
  assert.equal(single[0]?.requireJti, false);
  assert.equal(single[0].requireIat, false);
  assert.equal(load(issuer('requireIat = true')).config.auth.issuers[0]?.requireIat, true);
  assert.deepEqual(single[0].audience, ['y']);
  assert.deepEqual(single[0].algorithms, ['ES256', 'PS512']);
  const [problem] = problemsOf(issuer(lines));
  assert.equal(problem?.nearest, 'ES256');
  for (const algorithm of ['HS256', 'none', '']) {
    assert.match(problemOf(issuer(`algorithms = ["${algorithm}"]`)), /BAD_VALUE 2/);
  }
});

test('the keys of an issuer come from one place', () => {
  const keys = (...lines: string[]) => load(issuer(...lines)).config.auth.issuers[0]?.keys;
  assert.deepEqual(keys('certificateAlias = "a"'), { kind: 'alias', alias: 'a' });
  assert.deepEqual(keys('certificatePath = "/a.pem"'), { kind: 'pem', path: '/a.pem' });
  assert.deepEqual(keys('jwksURL = "https://a/jwks"', '[authConfig]', 'jwksMaxStale = 0'), {
    kind: 'jwks',
    url: 'https://a/jwks',
    refreshIntervalMs: 300_000,
    maxStaleMs: 0,
  });
  const alias = { kind: 'alias', alias: 'wso2apim310', byDefault: true };
  assert.deepEqual(keys('issuer = "https://other"'), alias);
  assert.deepEqual(keys('[listenerConfig]', 'trustStorePath = "t.p12"'), alias);
  const url = 'jwksURL = "https://a/jwks"';
  assert.equal(
    problemOf(issuer('certificateAlias = "a"', url)),
    'ERR_CONFIG_CONTRADICTION 3 jwtTokenConfig.0.jwksURL',
  );
  assert.equal(
    problemOf(issuer(url, 'certificatePath = "a"')),
    'ERR_CONFIG_CONTRADICTION 2 jwtTokenConfig.0.jwksURL',
  );
});

test('a key set over plain http is for this machine only', () => {
  load(issuer('jwksURL = "http://localhost:9763/jwks"'));
  assert.equal(
    problemOf(issuer('jwksURL = "http://sts/jwks"')),
    'ERR_CONFIG_BAD_VALUE 2 jwtTokenConfig.0.jwksURL',
  );
});

test('an issuer twice, or an audience that need not be there, contradicts itself', () => {
  const twice = problemsOf(issuer('issuer = "a"') + issuer('issuer = "a"'));
  assert.equal(twice[0]?.place.line, 4);
  assert.match(twice[0].message, /line 2/);
  assert.equal(
    problemOf(issuer('issuer = "https://localhost:9443/oauth2/token"') + issuer()),
    'ERR_CONFIG_CONTRADICTION 3 jwtTokenConfig.1.issuer',
  );
  assert.match(problemOf(issuer('audience = "a"', 'requireAud = false')), /CONTRADICTION 3/);
  load(issuer('requireAud = false'));
});

test('the key manager is called without slashes doubled, and without credentials when that is said', () => {
  const { keyManager } = load(
    '[keyManager]\nserverUrl = "https://km:9443/"\ntokenContext = "/oauth2/"\n[keymanager.security.basic]\nenabled = false\n',
  ).config;
  assert.equal(keyManager.serverUrl, 'https://km:9443');
  assert.equal(keyManager.tokenContext, 'oauth2');
  assert.equal(keyManager.basic, undefined);
  assert.match(warningsOf('[keyManager]\nserverUrl = "http://km"').join(), /plain http/);
  assert.match(problemOf('[keyManager]\ntokenContext = "a?b"'), /BAD_VALUE 2/);
  assert.match(problemOf('[keyManager]\nserverUrl = "https://km?x=1"'), /BAD_VALUE 2/);
});

test('table names are as exact as in WSO2', () => {
  const [problem] = problemsOf('[keyManager.security.basic]\nusername = "x"\npassword = "y"\n');
  assert.equal(problem?.nearest, 'keymanager.security.basic');
  assert.equal(problem.place.line, 1);
});
