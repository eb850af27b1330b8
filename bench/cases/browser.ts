import { PETS_PATH } from '../wrk.ts';
import { liveAims, wrkCase } from './wrk-case.ts';

/** What a browser sends with a script's request; `Host` and `Authorization` make fifteen of it. */
const FIELDS = {
  Connection: 'keep-alive',
  'sec-ch-ua': '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"Linux"',
  'User-Agent':
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  Accept: 'application/json, text/plain, */*',
  Origin: 'https://shop.example.com',
  'Sec-Fetch-Site': 'same-site',
  'Sec-Fetch-Mode': 'cors',
  'Sec-Fetch-Dest': 'empty',
  Referer: 'https://shop.example.com/pets/available',
  'Accept-Encoding': 'gzip, deflate, br, zstd',
  'Accept-Language': 'en-GB,en;q=0.9,de;q=0.8',
} as const;

/** Live tokens in turn, the header of a browser. */
export const browser = wrkCase({
  name: 'browser',
  title: 'Live tokens, 15 header fields of a browser',
  targets: ['haproxy-plain', 'haproxy-jwt', 'own', 'node', 'fastify', 'krakend'],
  rounds: 5,
  path: PETS_PATH,
  fields: FIELDS,
  secure: false,
  notes: '',
  aims: (results) => liveAims('live tokens, 15 header fields', results),
});
