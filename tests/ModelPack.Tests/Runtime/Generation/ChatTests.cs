using ModelPack.Architectures;
using ModelPack.Runtime.Generation;
using ModelPack.Runtime.Text;
using ModelPack.Testing;
using ModelPack.Tests.Cli;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Runtime.Generation;

/// <summary>Conversations with the sample model, which has been given a chat template.</summary>
public sealed class ChatTests
{
    private const string Template = "{% for m in messages %}{{ bos_token }}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";

    [Fact]
    public async Task Chat_continuesWhatTheTemplateGives()
    {
        using var folder = new TempFolder();
        foreach (string file in new[] { "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json" })
        {
            folder.Write($"model/{file}", File.ReadAllBytes(Path.Combine(SampleArtifacts.Folder, file)));
        }

        folder.Write("model/chat_template.jinja", Template);
        ModelCompiler.Compile(new CompileRequest { Input = folder["model"], Output = folder["m.mpack"], Recipe = "int4", Form = GraphForm.Cached });
        var options = new GenerationOptions { MaxTokens = 6 };
        GenerationResult answer;
        using (TextGenerator generator = TextGenerator.Open(folder["m.mpack"]))
        {
            ChatMessage[] talk = [new("system", "Be brief."), new("user", " Who was it? ")];
            answer = generator.Chat(talk, options);
            GenerationResult expected = generator.Generate("<|endoftext|>system: Be brief.\n<|endoftext|>user: Who was it?\nassistant:", options);
            Assert.Equal((expected.Text, expected.PromptTokens, 6), (answer.Text, answer.PromptTokens, answer.Tokens));
            string streamed = "";
            await foreach (string piece in generator.ChatAsync(talk, options))
            {
                streamed += piece;
            }

            Assert.Equal(expected.Text, streamed);
        }

        (int code, string output, _) = CliHarness.Run("run", folder["m.mpack"], "--chat", "--system", "Be brief.", "--prompt", "Who was it?", "--max-tokens", "6", "--quiet");
        Assert.Equal((0, answer.Text + "\n"), (code, output));
    }

    [Fact]
    public void Chat_withoutTemplate_isMP5035()
    {
        (int code, _, string error) = CliHarness.Run("run", SampleArtifacts.Folder, "--chat", "--prompt", "Hi");
        Assert.Equal(1, code);
        Assert.Contains($"error {ErrorCodes.BadChatTemplate}: the checkpoint has no chat template", error, StringComparison.Ordinal);
        Assert.Equal(2, CliHarness.Run("run", SampleArtifacts.Folder, "--system", "x", "--prompt", "Hi").ExitCode);
        Assert.Equal(2, CliHarness.Run("run", SampleArtifacts.Folder, "--chat").ExitCode);
    }
}
