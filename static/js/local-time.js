// Adds the visitor's own time to every instant the page gives in UTC. Without it, UTC stands.
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime()) || at.getTimezoneOffset() === 0) continue;
  const otherDay = at.getDate() !== at.getUTCDate();
  const local = document.createElement("span");
  local.className = "local";
  local.textContent = at.toLocaleString(document.documentElement.lang, {
    ...(otherDay && { weekday: "short", day: "numeric", month: "short" }),
    hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short",
  });
  time.append(" ", local);
}
