// The log-in: the token goes into a cookie that scripts cannot read; the `dcos` command is shown it.
const form = document.getElementById("login");
const said = document.getElementById("said");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  said.textContent = "";
  try {
    const answer = await fetch("/acs/api/v1/auth/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(Object.fromEntries(new FormData(form))),
    });
    if (answer.ok) entered((await answer.json()).token);
    else said.textContent = (await answer.text()).replace(/^\d+ [^:]*: /, "");
  } catch {
    said.textContent = "The door does not answer.";
  }
  button.disabled = false;
});

function entered(token) {
  if (new URLSearchParams(location.search).has("redirect_uri")) {
    form.hidden = true;
    const place = document.getElementById("token");
    place.hidden = false;
    place.querySelector("textarea").value = token;
    place.querySelector("textarea").select();
  } else if (location.pathname === "/login") location.assign("/");
  else location.reload();
}
