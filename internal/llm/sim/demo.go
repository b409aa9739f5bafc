package sim

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

// The demo model's pace: that of a quick hosted model, in pieces of some words.
const (
	demoFirst    = 150 * time.Millisecond
	demoEvery    = 75 * time.Millisecond
	demoPerEvent = 3 // pieces; 40 a second
)

// Demo returns the offline demo model: it needs no key and no network, says
// what it is, and answers every question with something that shows what an
// answer can look like.
func Demo() *Server {
	return New(Options{Models: []string{"demo"}, Choose: func(r *Request) Script {
		if r.N > 1 {
			return Script{Status: 400, Body: `{"error":{"message":"The demo model gives one answer at a time.","type":"invalid_request_error","param":"n","code":"unsupported_value"}}`}
		}
		return Script{Text: demoAnswer(r.Question()), FirstDelay: demoFirst, PieceDelay: demoEvery, PerEvent: demoPerEvent}
	}})
}

// demoAnswer answers a question in Markdown. The same question has the same answer.
func demoAnswer(question string) string {
	h := fnv.New32a()
	h.Write([]byte(question))
	pick := func(from []string) string {
		n := h.Sum32()
		h.Write([]byte{'+'})
		return from[n%uint32(len(from))]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s I am the **offline demo model** of OneMind: I run inside this program, without a key and without the internet, "+
		"so I cannot really answer. But I can show you how an answer arrives.\n\n",
		pick([]string{"Hello!", "Good question.", "Thanks for trying this out.", "Nice to meet you."}))
	fmt.Fprintf(&b, "You asked:\n\n> %s\n\n", quote(question))
	fmt.Fprintf(&b, "### %s\n\n%s\n\n", pick([]string{"What to try next", "Three things to try", "Where to go from here"}), pick([]string{
		"1. Ask the same question to **several models** and compare the answers side by side.\n2. Press *Stop* while I write: you pay only for what was delivered.\n3. Open the receipt below to see what this answer cost, and why.",
		"- Add a provider's key on the admin page; its models appear at once, without a restart.\n- Choose the answer you like best and go on with it.\n- Close this tab and come back: the answer waits for you.",
		"- Reload the page in the middle of my answer: nothing is lost and nothing comes twice.\n- Send a longer question and watch the hold on your credits grow.\n- Call me from the OpenAI SDK: the model's name is `demo`.",
	}))
	words := len(strings.Fields(question))
	fmt.Fprintf(&b, "| About your question | |\n|---|---|\n| Words | %d |\n| Characters | %d |\n| Tokens, as I count | %d |\n\n", words, len([]rune(question)), len(Pieces(question)))
	b.WriteString(pick([]string{
		"```python\nfrom openai import OpenAI\n\nclient = OpenAI(base_url=\"http://localhost:8080/v1\", api_key=\"om_...\")\nprint(client.chat.completions.create(\n    model=\"demo\",\n    messages=[{\"role\": \"user\", \"content\": \"Hello\"}],\n).choices[0].message.content)\n```",
		"```sh\ncurl http://localhost:8080/v1/chat/completions \\\n  -H \"Authorization: Bearer om_...\" \\\n  -d '{\"model\": \"demo\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n```",
		"```js\nconst client = new OpenAI({ baseURL: \"http://localhost:8080/v1\", apiKey: \"om_...\" });\nconst stream = await client.chat.completions.create({\n  model: \"demo\", stream: true,\n  messages: [{ role: \"user\", content: \"Hello\" }],\n});\nfor await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? \"\");\n```",
	}))
	fmt.Fprintf(&b, "\n\n%s", pick([]string{"That is all I know. Real models know more: give OneMind a key and ask one.", "For a real answer, connect a provider on the admin page.", "Once a provider is connected, you will not miss me."}))
	return b.String()
}

// quote makes a question fit into a Markdown quotation: bounded, and one that
// cannot pose as something else.
func quote(question string) string {
	question = strings.Join(strings.Fields(question), " ")
	if question == "" {
		return "*(nothing)*"
	}
	const most = 300
	if r := []rune(question); len(r) > most {
		question = string(r[:most]) + "…"
	}
	return strings.NewReplacer("<", "&lt;", "`", "'", "|", "\\|").Replace(question)
}
