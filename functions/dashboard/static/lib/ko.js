// Korean. The same keys as en.js; entries with numbers in them are functions.

export default {
  "time.s": (v) => `${v}초`,
  "time.min": (v) => `${v}분`,
  "time.h": (v) => `${v}시간`,
  "time.d": (v) => `${v}일`,
  "time.just": "방금",
  "time.ago": (span) => `${span} 전`,
  "time.from": (span) => `${span} 이후`,
  "time.range.min": (low, high) => `${low}–${high}분`,
  "time.range.h": (low, high) => `${low}–${high}시간`,
  "time.range.d": (low, high) => `${low}–${high}일`,

  "status.offline": "중단",
  "status.critical": "위험",
  "status.warning": "주의",
  "status.unknown": "데이터 없음",
  "status.maintenance": "점검 중",
  "status.healthy": "정상",

  "actions.acknowledged": (server) => `${server}: 확인했습니다`,
  "actions.silenced": (server, minutes) => `${server}: ${minutes % 60 ? `${minutes}분` : `${minutes / 60}시간`} 동안 알리지 않습니다`,
  "actions.failed": (why) => `처리하지 못했습니다: ${why}`,
  "actions.undo": "되돌리기",
};
