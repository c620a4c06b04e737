using ModelPack.Runtime.Text;
using Xunit;

namespace ModelPack.Tests.Runtime.Text;

/// <summary>Chat templates built from the constructs of published ones; what they must give is written out by hand.</summary>
public sealed class ChatTemplateTests
{
    private static readonly ChatMessage[] Talk = [new("system", " Be brief. "), new("user", "Hi"), new("assistant", "Hello."), new("user", "Why?\n")];

    /// <summary>Headers, trim after +, the first token in front of the first message: Llama 3.</summary>
    [Fact]
    public void Render_headers()
    {
        const string template =
            "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}"
            + "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";
        Assert.Equal(
            "<|begin|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            + "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            ChatTemplate.Parse(template).Render(Talk, beginToken: "<|begin|>"));
    }

    /// <summary>Macros with defaults, named arguments, other macros and variables of the template, and the date: Llama 3.2, Mistral, DeepSeek.</summary>
    [Fact]
    public void Render_macrosAndDate()
    {
        const string template = """
            {%- if strftime_now is defined %}{%- set date = strftime_now("%d %b %Y") %}{%- else %}{%- set date = "26 Jul 2024" %}{%- endif -%}
            {%- macro tagged(text, tag='b') -%}
            <{{ tag }}>{{ text | trim }}</{{ tag }}>
            {%- endmacro -%}
            {%- macro line(m, last=false) -%}
            {%- set mark = '!' if last else '.' -%}
            {{ tagged(m.role, tag='i') }}{{ tagged(m.content) }}{{ mark }}{{ end }}
            {%- endmacro -%}
            {%- set end = ';' -%}
            {{ date }}|{% for m in messages %}{{ line(m, loop.last) }}{% endfor %}{{ mark is defined }}
            """;
        string text = ChatTemplate.Parse(template).Render(Talk, true, "", "", new DateTimeOffset(2026, 3, 7, 15, 4, 5, TimeSpan.FromHours(2)));
        Assert.Equal("07 Mar 2026|<i>system</i><b>Be brief.</b>.;<i>user</i><b>Hi</b>.;<i>assistant</i><b>Hello.</b>.;<i>user</i><b>Why?</b>!;False", text);
        Assert.Equal(
            "Saturday Sat March 26 03 PM 15:04:05 066 100%",
            ChatTemplate.Parse("{{ strftime_now('%A %a %B %y %I %p %H:%M:%S %j 100%%') }}").Render(Talk, true, "", "", new DateTimeOffset(2026, 3, 7, 15, 4, 5, TimeSpan.Zero)));
        Assert.Equal(4, ChatTemplate.Parse("{{ strftime_now('%Y') }}").Render(Talk).Length);
    }

    [Theory]
    [InlineData("{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "'f' takes 1 arguments, not 2")]
    [InlineData("{% macro f(a) %}{% endmacro %}{{ f(b=2) }}", "'f' has no parameter 'b'")]
    [InlineData("{% macro f(a) %}{{ f(a) }}{% endmacro %}{{ f(1) }}", "calls of 'f' are nested too deeply")]
    [InlineData("{% if false %}{% macro f() %}{% endmacro %}{% endif %}{{ f() }}", "'f' is no macro where it is called")]
    [InlineData("{{ strftime_now('%q') }}", "strftime_now with '%q', which is not understood")]
    [InlineData("{{ strftime_now(7) }}", "strftime_now needs a format")]
    public void Render_callThatCannotBe_isMP5035(string template, string message)
    {
        var error = Assert.Throws<ModelPackException>(() => ChatTemplate.Parse(template).Render(Talk));
        Assert.Equal(ErrorCodes.BadChatTemplate, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    /// <summary>White space control, tools that are not there, a namespace, a slice backwards: Qwen 2.5 and 3.</summary>
    [Fact]
    public void Render_markup()
    {
        const string template = """
            {%- if tools %}
                {{- '<tools>' }}
                {%- for tool in tools %}{{- tool | tojson }}{%- endfor %}
            {%- else %}
                {%- if messages[0]['role'] == 'system' %}
                    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
                {%- else %}
                    {{- '<|im_start|>system\nYou help.<|im_end|>\n' }}
                {%- endif %}
            {%- endif %}
            {%- set ns = namespace(last=messages|length - 1, found=false) %}
            {%- for message in messages[::-1] %}
                {%- set index = (messages|length - 1) - loop.index0 %}
                {%- if not ns.found and message.role == "user" and message.content is string and not(message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
                    {%- set ns.found = true %}
                    {%- set ns.last = index %}
                {%- endif %}
            {%- endfor %}
            {%- for message in messages %}
                {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
                    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
                {%- endif %}
                {%- if loop.last and ns.last == loop.index0 %}{{- '[' ~ ns.last ~ ']' }}{%- endif %}
            {%- endfor %}
            {%- if add_generation_prompt %}
                {{- '<|im_start|>assistant\n' }}
                {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>' }}{%- endif %}
            {%- endif %}
            """;
        ChatTemplate parsed = ChatTemplate.Parse(template);
        Assert.Equal(
            "<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nWhy?\n<|im_end|>\n[3]<|im_start|>assistant\n",
            parsed.Render(Talk));
        Assert.Equal("<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n[0]", parsed.Render([new("user", "Hi")], addGenerationPrompt: false));
    }

    /// <summary>Turns that must alternate, else the template refuses: Mistral and Gemma.</summary>
    [Fact]
    public void Render_alternation()
    {
        const string template =
            "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate!') }}{% endif %}"
            + "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('?') }}{% endif %}{% endfor %}";
        ChatTemplate parsed = ChatTemplate.Parse(template);
        Assert.Equal("<s>[INST] Hi [/INST]Hello.</s>[INST] Why?\n [/INST]", parsed.Render(Talk[1..], beginToken: "<s>", endToken: "</s>"));
        var error = Assert.Throws<ModelPackException>(() => parsed.Render(Talk));
        Assert.Equal(ErrorCodes.BadChatTemplate, error.Code);
        Assert.Contains("refuses the messages: Roles must alternate!", error.Message, StringComparison.Ordinal);
    }

    /// <summary>Line breaks and indentation of statements are dropped, those of text stay: Phi 3 and templates in files.</summary>
    [Fact]
    public void Render_linesOfStatements()
    {
        const string template = "{# a comment #}\n{% for m in messages if m.role != 'system' %}\n    {% if m.role == 'user' %}\n<|user|>\n{{ m.content | trim }}<|end|>\n    {% endif %}\n{% else %}\nnothing\n{% endfor %}\n<|assistant|>\n";
        Assert.Equal("<|user|>\nHi<|end|>\n<|user|>\nWhy?<|end|>\n<|assistant|>", ChatTemplate.Parse(template).Render(Talk));
        Assert.Equal("nothing\n<|assistant|>", ChatTemplate.Parse(template).Render(Talk[..1]));
    }

    [Theory]
    [InlineData("{{ 7 // 2 }} {{ -7 % 3 }} {{ 2 * 3 - 1 }} {{ 1 + 1 == 2 }}", "3 2 5 True")]
    [InlineData("{{ 'a' in 'abc' }} {{ 'x' not in ['y'] }} {{ 'k' in {'k': 1} }}", "True True True")]
    [InlineData("{{ [1, 2, 3][1:] | join('-') }} {{ 'abc'[::-1] }} {{ 'abc'[-1] }}", "2-3 cba c")]
    [InlineData("{{ {'a': [1, none, true], 'b': \"x\\n\"} | tojson }}", "{\"a\": [1, null, true], \"b\": \"x\\n\"}")]
    [InlineData("{{ missing | default('d') }}{{ missing }}{{ none is none }}{{ missing is not defined }}", "dTrueTrue")]
    [InlineData("{{ 'yes' if messages else 'no' }} {{ not messages or 'or' }}", "yes or")]
    [InlineData("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% if not loop.last %},{% endif %}{% endfor %}", "a1,b2")]
    [InlineData("{% set x %}in {{ 'block' }}{% endset %}{{ x | upper }}", "IN BLOCK")]
    [InlineData("{% set x = 1 %}{% for i in range(3) %}{% set x = i %}{% endfor %}{{ x }}", "1")]
    [InlineData("{{ ' a b '.strip().split(' ') | length }} {{ 'abab'.replace('a', 'x') }} {{ {'a': 1}.get('b', 5) }}", "2 xbxb 5")]
    [InlineData("{% generation %}said{% endgeneration %} {{ '{{' }}{# {{ #}", "said {{")]
    [InlineData("  {% if true %}  x  {%- endif %}  \n y", "  x  \n y")]
    public void Render_expressions(string template, string expected) => Assert.Equal(expected, ChatTemplate.Parse(template).Render(Talk));

    [Theory]
    [InlineData("{% macro f() %}", "ends too early")]
    [InlineData("{% call f() %}{% endcall %}", "the statement 'call' is not understood")]
    [InlineData("{{ x | groupby('a') }}", "the filter 'groupby' is not understood")]
    [InlineData("{{ x is divisibleby(3) }}", "the test 'divisibleby' is not understood")]
    [InlineData("{{ 'a'.zfill(3) }}", "the method 'zfill' is not understood")]
    [InlineData("{% if x %}", "ends too early")]
    [InlineData("{{ 'a }}", "a string does not end")]
    [InlineData("{{ a", "does not end")]
    [InlineData("{# a", "a comment does not end")]
    [InlineData("{% for x in y %}{% endif %}", "'endif'")]
    [InlineData("{{ a $ b }}", "'$' is not understood")]
    [InlineData("{{ 99999999999999999999 }}", "is too large")]
    public void Parse_whatIsNotUnderstood_isMP5035(string template, string message)
    {
        var error = Assert.Throws<ModelPackException>(() => ChatTemplate.Parse(template));
        Assert.Equal(ErrorCodes.BadChatTemplate, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{{ missing.a.b }}", "something that is not there")]
    [InlineData("{{ 'a' + 1 }}", "computes a text + a number")]
    [InlineData("{{ 1 < 'a' }}", "compares a number with a text")]
    [InlineData("{{ messages }}", "writes a list")]
    [InlineData("{% for x in 5 %}{% endfor %}", "goes through a number")]
    [InlineData("{% set a.b = 1 %}", "'a' is no namespace")]
    [InlineData("{% for i in range(3000000) %}{% endfor %}", "a range of more than")]
    public void Render_whatHasNoMeaning_isMP5035(string template, string message)
    {
        var error = Assert.Throws<ModelPackException>(() => ChatTemplate.Parse(template).Render(Talk));
        Assert.Equal(ErrorCodes.BadChatTemplate, error.Code);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Parse_deepNesting_isMP5035_notACrash()
    {
        string template = $"{{{{ {new string('(', 5000)}1{new string(')', 5000)} }}}}";
        Assert.Equal(ErrorCodes.BadChatTemplate, Assert.Throws<ModelPackException>(() => ChatTemplate.Parse(template)).Code);
        string sum = $"{{{{ 1{string.Concat(Enumerable.Repeat(" + 1", 100000))} }}}}";
        Assert.Equal(ErrorCodes.BadChatTemplate, Assert.Throws<ModelPackException>(() => ChatTemplate.Parse(sum)).Code);
        string minus = $"{{{{ {new string('-', 100000)}1 }}}}";
        Assert.Equal(ErrorCodes.BadChatTemplate, Assert.Throws<ModelPackException>(() => ChatTemplate.Parse(minus)).Code);
    }
}
