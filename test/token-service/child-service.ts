import { readFileSync } from 'node:fs';
import { recordedLog } from '../support/recorded-log.ts';
import { credentials } from './fixture.ts';
import { createTokenService } from '../../src/token-service/token-service.ts';

// A token service in a process of its own, to be killed: argv has the state file and a file with key and certificate. Its one publisher
// never gets an answer, so every copy is still to be sent when the end comes.
const [, , stateFile = '', tlsFile = ''] = process.argv;
const service = createTokenService({
  stateFile,
  tls: JSON.parse(readFileSync(tlsFile, 'utf8')) as { key: string; cert: string },
  credentials: credentials(),
  log: recordedLog(),
  port: 0,
  issuer: 'https://issuer.test/oauth2/token',
  algorithm: 'ES256',
  publishers: [
    {
      name: 'broker',
      publish: () => new Promise(() => undefined),
      close: () => Promise.resolve(),
    },
  ],
});
const { url } = await service.listen();
process.stdout.write(`${url}\n`);
