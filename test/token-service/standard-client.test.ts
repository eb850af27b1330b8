import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as oauth from 'oauth4webapi';
import { type Running, startService } from './fixture.ts';

/** Trust in our own authority, and where an issuer that is no real host listens, is all that the client is told beyond the issuer. */
function reaching(running: Running, issuer: string) {
  return {
    [oauth.customFetch]: (url: string, init: object): Promise<Response> =>
      running.request(url.replace(new URL(issuer).origin, running.address.url), init),
  };
}

for (const issuerPath of ['/oauth2/token', '']) {
  test(`an independent OAuth client discovers, gets, introspects and revokes (issuer path "${issuerPath}")`, async (t) => {
    const running = await startService(
      t,
      issuerPath === '' ? { issuer: 'https://issuer.test' } : {},
    );
    const issuer = issuerPath === '' ? 'https://issuer.test' : running.address.url + issuerPath;
    const options = reaching(running, issuer);
    const server = await oauth.processDiscoveryResponse(
      new URL(issuer),
      await oauth.discoveryRequest(new URL(issuer), { ...options, algorithm: 'oauth2' }),
    );
    assert.deepEqual(server.response_types_supported, []);
    assert.deepEqual(server.scopes_supported, ['read', 'write']);

    const ways = [
      { client: { client_id: 'alice' }, auth: oauth.ClientSecretBasic('alice-secret') },
      { client: { client_id: 'alice' }, auth: oauth.ClientSecretPost('alice-secret') },
      { client: { client_id: 'bob' }, auth: oauth.ClientSecretBasic('bob-secret') },
    ];
    for (const { client, auth } of ways) {
      const grant = await oauth.processClientCredentialsResponse(
        server,
        client,
        await oauth.clientCredentialsGrantRequest(
          server,
          client,
          auth,
          new URLSearchParams(),
          options,
        ),
      );
      const introspect = async (): Promise<oauth.IntrospectionResponse> =>
        await oauth.processIntrospectionResponse(
          server,
          client,
          await oauth.introspectionRequest(server, client, auth, grant.access_token, options),
        );
      const before = await introspect();
      assert.equal(before.active, true);
      assert.equal(before.client_id, client.client_id);
      assert.equal(before.iss, issuer);
      await oauth.processRevocationResponse(
        await oauth.revocationRequest(server, client, auth, grant.access_token, options),
      );
      assert.deepEqual(await introspect(), { active: false });
    }

    const client = { client_id: 'alice' };
    const wrong = await oauth.revocationRequest(
      server,
      client,
      oauth.ClientSecretBasic('wrong'),
      'x',
      options,
    );
    await assert.rejects(
      oauth.processRevocationResponse(wrong),
      (error) =>
        error instanceof oauth.ResponseBodyError ||
        error instanceof oauth.WWWAuthenticateChallengeError,
    );
  });
}
