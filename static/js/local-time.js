// Adds the visitor's own time to every instant the page gives in UTC, and to every span. Without it, UTC stands.
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime), until = new Date(time.dataset.until || time.dateTime);
  if (Number.isNaN(at.getTime()) || at.getTimezoneOffset() === 0) continue;
  const otherDay = at.getDate() !== at.getUTCDate() || until.getDate() !== at.getUTCDate();
  const local = document.createElement("span");
  local.className = "local";
  const clock = new Intl.DateTimeFormat(document.documentElement.lang, {
    ...(otherDay && { weekday: "short", day: "numeric", month: "short" }),
    hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short",
  });
  local.textContent = until > at && clock.formatRange ? clock.formatRange(at, until) : clock.format(at);
  time.append(" ", local);
}
