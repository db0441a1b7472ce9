// Gives every command that can be run a button that copies it. Without it, commands are selected by hand.
for (const command of document.querySelectorAll("pre[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-plain";
  button.textContent = "Copy";
  const said = document.createElement("span");
  said.className = "quiet";
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
      said.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(command);
      said.textContent = "Selected; press Ctrl+C";
    }
  });
  const row = document.createElement("p");
  row.className = "actions";
  row.append(button, said);
  command.after(row);
}
