// Shows how much of the files of a form has been sent, and refuses those that are too large before they are sent. Without this
// script the browser sends the form as any other.
"use strict";
(() => {
  const MEGABYTE = 1024 * 1024;
  const size = (bytes) => `${(bytes / MEGABYTE).toFixed(bytes < 10 * MEGABYTE ? 1 : 0)} MB`;

  function show(main, text) {
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
    if (!fresh) return false;
    main.replaceWith(fresh);
    fresh.focus();
    scrollTo(0, 0);
    return true;
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-upload]")) return;
    const files = [...form.elements].flatMap((field) => [...(field.files || [])]);
    if (!files.length) return; // the server says what is missing
    event.preventDefault();
    if (form.dataset.sending) return;
    const bar = form.querySelector("progress"), words = form.querySelector("[aria-live]"), button = form.querySelector("button");
    const total = files.reduce((sum, file) => sum + file.size, 0), most = Number(form.dataset.upload);
    if (total > most * MEGABYTE) {
      words.textContent = `These files have ${size(total)}; ${most} MB can be sent at once (MAX_UPLOAD_MB).`;
      return;
    }
    const request = new XMLHttpRequest();
    const end = (text) => {
      delete form.dataset.sending;
      button.disabled = false;
      bar.hidden = true;
      words.textContent = text;
    };
    form.dataset.sending = "yes";
    button.disabled = true;
    bar.hidden = false;
    bar.value = 0;
    words.textContent = "Sending ...";
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "text/html");
    request.upload.onprogress = (sent) => {
      bar.value = sent.loaded / sent.total;
      words.textContent = `Sent ${size(sent.loaded)} of ${size(sent.total)}`;
    };
    request.upload.onload = () => {
      bar.removeAttribute("value");
      words.textContent = "Sent. The server is reading it ...";
    };
    request.onload = () => {
      if (request.status === 200) location.assign(request.responseURL); // where it was redirected to
      else if (!show(form.closest("main"), request.responseText)) end(`The server answered with status ${request.status}; send it again.`);
    };
    request.onerror = () => end("The connection broke before all was sent; send it again.");
    request.send(new FormData(form));
  });
})();
