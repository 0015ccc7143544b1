// English. The same keys as ko.js; entries with numbers in them are functions.

const n = (count, one, many) => `${count} ${count === 1 ? one : many}`;

export default {
  "time.s": (v) => `${v} s`,
  "time.min": (v) => `${v} min`,
  "time.h": (v) => `${v} h`,
  "time.d": (v) => `${v} d`,
  "time.just": "just now",
  "time.ago": (span) => `${span} ago`,
  "time.from": (span) => `${span} or later`,
  "time.range.min": (low, high) => `${low}–${high} min`,
  "time.range.h": (low, high) => `${low}–${high} h`,
  "time.range.d": (low, high) => `${low}–${high} d`,

  "status.offline": "Down",
  "status.critical": "Critical",
  "status.warning": "Warning",
  "status.unknown": "No data",
  "status.maintenance": "Maintenance",
  "status.healthy": "Healthy",

  "actions.acknowledged": (server) => `${server}: acknowledged`,
  "actions.silenced": (server, minutes) => `${server}: silenced for ${minutes % 60 ? `${minutes} min` : `${minutes / 60} h`}`,
  "actions.failed": (why) => `That did not work: ${why}`,
  "actions.undo": "Undo",
};
