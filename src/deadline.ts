/**
 * The result of foreign code that may never settle. Its timer keeps the event loop alive: without one, Node would end the process (with
 * code 13) as soon as nothing but such a promise is left.
 * @param late what to reject with after `deadlineMs` milliseconds
 */
export async function withinDeadline<T>(
  work: T | Promise<T>,
  deadlineMs: number,
  late: () => Error,
): Promise<T> {
  const { promise: overdue, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(late()), deadlineMs);
  try {
    return await Promise.race([work, overdue]);
  } finally {
    clearTimeout(timer);
  }
}
