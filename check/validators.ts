import type {
  Entry,
  FaultSpan,
  Issued,
  Lost,
  Medium,
  Request,
  Result,
  Revoke,
  Sample,
  Visible,
} from './history.ts';

/** V0 enough happened, V1 safety, V2 monotonic, V3 no false denial, V4 agreement, V5 bounded. */
export type ValidatorName = 'V0' | 'V1' | 'V2' | 'V3' | 'V4' | 'V5';

export interface Violation {
  readonly validator: ValidatorName;
  readonly text: string;
  /** The fewest entries that show it. */
  readonly excerpt: readonly Entry[];
}

export interface Member {
  readonly name: string;
  /** What it follows with a bound on how late it may be. */
  readonly media: readonly Medium[];
  /** What it follows besides, and knows once nothing is broken any more. */
  readonly later?: readonly Medium[];
}

export interface Rules {
  readonly members: readonly Member[];
  /** Milliseconds after which a visible revocation has to be enforced, or the gateway to answer 503. */
  readonly boundMs: number;
  /** The same at the gateway whose operator was answered. */
  readonly ownBoundMs: number;
  /** Milliseconds within which all members agree after healing. */
  readonly agreementMs: number;
  /** The most by which a fault steps a gateway's wall clock, milliseconds. */
  readonly clockStepMs: number;
  readonly least: {
    /** Of each member while things are broken, as the next two. */
    readonly ok: number;
    readonly denied: number;
    /** Denied calls with a token whose revocation had to be enforced by then. */
    readonly afterBound: number;
    /** Kinds of faults that were planned, each with how often. */
    readonly faults: Readonly<Record<string, number>>;
    /** Channels that must have revoked something. */
    readonly channels: readonly string[];
  };
  /** Growth that is none: of resident memory by bytes or by share, of descriptors by number. */
  readonly growth: {
    readonly rssBytes: number;
    readonly share: number;
    readonly descriptors: number;
  };
}

interface Known {
  readonly issued: ReadonlyMap<string, Issued>;
  readonly requests: readonly Request[];
  /** By token. */
  readonly revokes: ReadonlyMap<string, readonly Revoke[]>;
  readonly visible: ReadonlyMap<string, readonly Visible[]>;
  readonly lost: ReadonlyMap<string, readonly Lost[]>;
  readonly faults: readonly FaultSpan[];
  readonly samples: readonly Sample[];
  readonly healedAt: number | undefined;
}

/** Every violation found, one per validator and (gateway, token) at most; none for a run that counts and is good. */
export function validate(entries: readonly Entry[], rules: Rules): Violation[] {
  const known = index(entries);
  return [
    ...enoughHappened(known, rules),
    ...nothingRevokedAdmitted(known, rules),
    ...neverRevived(known, rules),
    ...nobodyElseDenied(known, rules),
    ...allAgree(known, rules),
    ...backToBaseline(known, rules),
  ];
}

function index(entries: readonly Entry[]): Known {
  const issued = new Map<string, Issued>();
  const revokes = new Map<string, Revoke[]>();
  const visible = new Map<string, Visible[]>();
  const lost = new Map<string, Lost[]>();
  const requests: Request[] = [];
  const faults: FaultSpan[] = [];
  const samples: Sample[] = [];
  let healedAt: number | undefined;
  const under = <T extends { token: string }>(map: Map<string, T[]>, entry: T): void => {
    const list = map.get(entry.token);
    if (list === undefined) map.set(entry.token, [entry]);
    else list.push(entry);
  };
  for (const entry of entries) {
    switch (entry.type) {
      case 'issued':
        issued.set(entry.token, entry);
        break;
      case 'request':
        requests.push(entry);
        break;
      case 'revoke':
        under(revokes, entry);
        break;
      case 'visible':
        under(visible, entry);
        break;
      case 'lost':
        under(lost, entry);
        break;
      case 'fault':
        faults.push(entry);
        break;
      case 'sample':
        samples.push(entry);
        break;
      case 'healed':
        healedAt = entry.at;
        break;
      case 'member':
        break;
    }
  }
  return { issued, requests, revokes, visible, lost, faults, samples, healedAt };
}

/** A sighting of a revocation that binds this gateway, from when on, and until when: what its medium lost binds nobody afterwards. */
interface Binding {
  readonly sighting: Visible;
  readonly from: number;
  readonly until: number;
}

/** From when on this gateway must not admit the token, by each sighting that binds it; earliest first. */
function bindingsOf(
  known: Known,
  rules: Rules,
  member: Member,
  token: string,
  media: readonly Medium[],
): Binding[] {
  const own: Medium = `gateway:${member.name}`;
  const bindings: Binding[] = [];
  for (const sighting of known.visible.get(token) ?? []) {
    const isOwn = sighting.medium === own;
    if (!isOwn && !media.includes(sighting.medium)) continue;
    let until = Infinity;
    for (const { medium, since, at, gateway } of known.lost.get(token) ?? [])
      if (
        medium === sighting.medium &&
        at >= sighting.at &&
        (gateway === undefined || gateway === member.name)
      )
        until = Math.min(until, since);
    const from = sighting.at + (isOwn ? rules.ownBoundMs : rules.boundMs);
    if (from < until) bindings.push({ sighting, from, until });
  }
  return bindings.sort((one, other) => one.from - other.from);
}

/** V0: a run in which little happened proves nothing. */
function enoughHappened(known: Known, rules: Rules): Violation[] {
  const { least } = rules;
  const short: string[] = [];
  const count = (what: string, has: number, needs: number): void => {
    if (has < needs) short.push(`${what}: ${has} of ${needs}`);
  };
  const bindings = new Bindings(known, rules);
  for (const { name } of rules.members) {
    // The last look is none of it: nothing is broken then, and it alone would be enough.
    const calls = known.requests.filter(
      ({ gateway, client }) => gateway === name && client !== 'probe',
    );
    const which = (wanted: Result): Request[] => calls.filter(({ result }) => result === wanted);
    count(`calls that ${name} admitted`, which('ok').length, least.ok);
    count(`calls that ${name} denied`, which('denied').length, least.denied);
    count(
      `calls that ${name} denied because it was bound to`,
      which('denied').filter((request) => request.tStart > (bindings.of(request)?.from ?? Infinity))
        .length,
      least.afterBound,
    );
  }
  for (const [kind, needs] of Object.entries(least.faults))
    count(`fault ${kind}`, known.faults.filter((fault) => fault.kind === kind).length, needs);
  const revokes = [...known.revokes.values()].flat();
  for (const channel of least.channels)
    count(
      `revocations by channel ${channel}`,
      revokes.filter((revoke) => revoke.channel === channel && revoke.result === 'ok').length,
      1,
    );
  return short.length === 0
    ? []
    : [{ validator: 'V0', text: `too little happened: ${short.join('; ')}`, excerpt: [] }];
}

/** {@link bindingsOf}, kept: they are asked for at each of many thousand calls. */
class Bindings {
  readonly #known: Known;
  readonly #rules: Rules;
  readonly #members: ReadonlyMap<string, Member>;
  readonly #kept = new Map<string, readonly Binding[]>();
  readonly #healed: boolean;

  /** @param healed true for what holds once nothing is broken any more */
  constructor(known: Known, rules: Rules, healed = false) {
    this.#known = known;
    this.#rules = rules;
    this.#healed = healed;
    this.#members = new Map(rules.members.map((member) => [member.name, member]));
  }

  /** The earliest one that holds for the whole of this call, should it have begun by then. */
  of({ gateway, token, tEnd }: Request): Binding | undefined {
    const key = `${gateway} ${token}`;
    let all = this.#kept.get(key);
    if (all === undefined) {
      const member = this.#members.get(gateway);
      if (member === undefined) return undefined;
      const media = this.#healed ? [...member.media, ...(member.later ?? [])] : member.media;
      all = bindingsOf(this.#known, this.#rules, member, token, media);
      this.#kept.set(key, all);
    }
    return all.find(({ until }) => tEnd < until);
  }
}

/** V1: no call that starts after the bound is admitted. */
function nothingRevokedAdmitted(known: Known, rules: Rules): Violation[] {
  const bindings = new Bindings(known, rules);
  return firstEach(known.requests, (request) => {
    if (request.result !== 'ok') return undefined;
    const binding = bindings.of(request);
    if (binding === undefined || request.tStart <= binding.from) return undefined;
    const late = Math.round(request.tStart - binding.sighting.at);
    const of = known.revokes.get(request.token) ?? [];
    return {
      validator: 'V1',
      text: `${request.gateway} admitted ${request.token} ${late} ms after its revocation was visible (${binding.sighting.medium})`,
      excerpt: [...of, binding.sighting, request],
    };
  });
}

/** V2: denied as revoked is never followed by admitted, whichever thread answers and however often the gateway was killed between. */
function neverRevived(known: Known, rules: Rules): Violation[] {
  const denials = new Map<string, Request>();
  for (const request of known.requests) {
    if (request.result !== 'denied' || !mayBeRevoked(known, request)) continue;
    if (mayBeExpired(known, rules, request)) continue;
    const key = `${request.gateway} ${request.token}`;
    const first = denials.get(key);
    if (first === undefined || request.tEnd < first.tEnd) denials.set(key, request);
  }
  return firstEach(known.requests, (request) => {
    if (request.result !== 'ok') return undefined;
    const denial = denials.get(`${request.gateway} ${request.token}`);
    if (denial === undefined || request.tStart <= denial.tEnd) return undefined;
    return {
      validator: 'V2',
      text: `${request.gateway} admitted ${request.token}, which it had denied ${Math.round(request.tStart - denial.tEnd)} ms before`,
      excerpt: [...(known.revokes.get(request.token) ?? []), denial, request],
    };
  });
}

/** V3: what nobody tried to revoke is never answered 401. */
function nobodyElseDenied(known: Known, rules: Rules): Violation[] {
  return firstEach(known.requests, (request) => {
    if (request.result !== 'denied') return undefined;
    if (mayBeRevoked(known, request) || mayBeExpired(known, rules, request)) return undefined;
    const issued = known.issued.get(request.token);
    return {
      validator: 'V3',
      text: `${request.gateway} denied ${request.token}, which nobody had revoked`,
      excerpt: [
        ...(issued === undefined ? [] : [issued]),
        request,
        ...(known.revokes.get(request.token) ?? []),
      ],
    };
  });
}

/** V4: after healing, a last look at every token by every member is as it has to be, in time, and the same for members with the same sources. */
function allAgree(known: Known, rules: Rules): Violation[] {
  const { healedAt } = known;
  if (healedAt === undefined)
    return [{ validator: 'V4', text: 'the run was never healed', excerpt: [] }];
  const last = new Map<string, Request>();
  for (const request of known.requests)
    if (request.client === 'probe' && request.tStart >= healedAt)
      last.set(`${request.gateway} ${request.token}`, request);
  const unseen = known.issued.size * rules.members.length - last.size;
  if (unseen > 0)
    return [{ validator: 'V4', text: `${unseen} looks were not taken after healing`, excerpt: [] }];
  const bindings = new Bindings(known, rules, true);
  return firstEach([...last.values()], (request) => {
    const violation = (text: string, others: readonly Entry[] = []): Violation => ({
      validator: 'V4',
      text: `${request.gateway} and ${request.token}, ${Math.round(request.tEnd - healedAt)} ms after healing: ${text}`,
      excerpt: [...(known.revokes.get(request.token) ?? []), ...others, request],
    });
    if (request.tStart > healedAt + rules.agreementMs)
      return violation(`looked at too late to show agreement within ${rules.agreementMs} ms`);
    if (request.result === 'unavailable' || request.result === 'unknown')
      return violation(`still answers ${request.answer}`);
    const binding = bindings.of(request);
    // What became visible only after the look, out of an outbox for instance, nobody could know then.
    const isDue = binding !== undefined && binding.sighting.at < request.tStart;
    if (isDue && request.result !== 'denied')
      return violation(`admitted, though its revocation is visible (${binding.sighting.medium})`, [
        binding.sighting,
      ]);
    if (known.revokes.get(request.token) === undefined && request.result !== 'ok')
      return mayBeExpired(known, rules, request) ? undefined : violation('denied, never revoked');
    const member = rules.members.find(({ name }) => name === request.gateway);
    for (const other of rules.members) {
      if (member === undefined || other === member || !sameMedia(member, other)) continue;
      const theirs = last.get(`${other.name} ${request.token}`);
      if (theirs !== undefined && theirs.result !== request.result)
        return violation(`${request.result}, but ${other.name} says ${theirs.result}`, [theirs]);
    }
    return undefined;
  });
}

/** V5: memory and descriptors are what they were. */
function backToBaseline(known: Known, { growth, members }: Rules): Violation[] {
  const found: Violation[] = [];
  for (const { name } of members) {
    const of = (when: Sample['when']): Sample | undefined =>
      known.samples.findLast((sample) => sample.gateway === name && sample.when === when);
    const [before, after] = [of('baseline'), of('end')];
    if (before === undefined || after === undefined) {
      found.push({ validator: 'V5', text: `${name} was not measured`, excerpt: [] });
      continue;
    }
    const allowed = Math.max(growth.rssBytes, before.rssBytes * growth.share);
    const grown = after.rssBytes - before.rssBytes;
    if (grown > allowed)
      found.push({
        validator: 'V5',
        text: `${name} holds ${mebibytes(grown)} MiB more than at first (${mebibytes(allowed)} allowed)`,
        excerpt: [before, after],
      });
    const more = after.descriptors - before.descriptors;
    if (more > growth.descriptors)
      found.push({
        validator: 'V5',
        text: `${name} has ${more} descriptors more than at first (${growth.descriptors} allowed)`,
        excerpt: [before, after],
      });
  }
  return found;
}

/** Somebody had at least begun to revoke the token when the answer came. */
function mayBeRevoked(known: Known, request: Request): boolean {
  return known.revokes.get(request.token)?.some(({ tStart }) => tStart <= request.tEnd) ?? false;
}

/** The gateway may have taken the token for expired: its wall clock was ahead then, or may have been. */
function mayBeExpired(known: Known, rules: Rules, request: Request): boolean {
  const expiresAt = known.issued.get(request.token)?.expiresAt ?? Infinity;
  const stepped = known.faults.some(
    ({ kind, target, tStart, tEnd }) =>
      kind === 'clock-step' &&
      target === request.gateway &&
      tStart <= request.tEnd &&
      request.tStart <= tEnd,
  );
  return request.tEnd + (stepped ? rules.clockStepMs : 0) >= expiresAt;
}

/** Whether both know the same in the end. */
function sameMedia(one: Member, other: Member): boolean {
  const all = ({ media, later = [] }: Member): string =>
    [...media, ...later]
      .filter((medium) => medium !== 'pair')
      .sort()
      .join();
  return all(one) === all(other);
}

/** The first violation of each (gateway, token), in order of time. */
function firstEach(
  requests: readonly Request[],
  judge: (request: Request) => Violation | undefined,
): Violation[] {
  const found = new Map<string, Violation>();
  for (const request of requests.toSorted((a, b) => a.tStart - b.tStart)) {
    const key = `${request.gateway} ${request.token}`;
    if (found.has(key)) continue;
    const violation = judge(request);
    if (violation !== undefined) found.set(key, violation);
  }
  return [...found.values()];
}

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
