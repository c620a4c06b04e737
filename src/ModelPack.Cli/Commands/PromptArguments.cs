using System.CommandLine;
using ModelPack.Runtime.Generation;
using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary>The options of <c>run</c> that let a language model continue a text.</summary>
internal sealed class PromptArguments
{
    private readonly Option<int> _maxTokens = NumberOption.Create("--max-tokens", "With --prompt: most tokens to generate", 64, 1, int.MaxValue);
    private readonly Option<double> _temperature = NumberOption.Create("--temperature", "With --prompt: 0 takes the likeliest token, more draws more freely", 0, v => v is >= 0 and <= 100, "from 0 to 100");
    private readonly Option<int> _topK = NumberOption.Create("--top-k", "With --temperature: draw from this many of the likeliest tokens; 0 from all", 0, 0, int.MaxValue);
    private readonly Option<double> _topP = NumberOption.Create("--top-p", "With --temperature: draw from the fewest tokens with this probability together", 1, v => v is > 0 and <= 1, "above 0 and up to 1");
    private readonly Option<string[]> _stop = new("--stop") { Description = "With --prompt: end before this text. Repeatable", HelpName = "text" };

    private readonly Option<bool> _chat = new("--chat") { Description = "With --prompt: the text is a user's message; the model answers it by the chat template of the checkpoint" };
    private readonly Option<string?> _system = new("--system") { Description = "With --chat: a message of the system before the user's", HelpName = "text" };

    private readonly Option<string?> _cache = CacheOption.Create("With --prompt and a folder: how keys and values of earlier tokens are kept ('fused', f32 with attention in ONNX Runtime's own operators, unless given); artifacts keep them as they were compiled");

    /// <summary>The beginning of the text.</summary>
    public Option<string?> Prompt { get; } = new("--prompt", "-p") { Description = "Let a language model continue this text, on stdout as it is made (also with --quiet); needs an artifact of a checkpoint folder, best compiled with --kv-cache", HelpName = "text" };

    /// <summary>All of them, in the order of the help.</summary>
    public IEnumerable<Option> All => [Prompt, .. Others];

    private IEnumerable<Option> Others => [_chat, _system, _cache, _maxTokens, _temperature, _topK, _topP, _stop];

    /// <summary>Refuses options that mean nothing without a prompt.</summary>
    /// <exception cref="UsageException">There is one.</exception>
    public void RefuseWithoutPrompt(Session session)
    {
        if (Others.FirstOrDefault(session.IsGiven) is Option option)
        {
            throw new UsageException($"{option.Name} needs a text to continue: --prompt <text>");
        }
    }

    /// <summary>Carries the command out.</summary>
    public int Run(Session session, string model, string prompt, ulong seed, WeightStorage weights)
    {
        string[] stops = session.Get(_stop) ?? [];
        if (stops.Contains("", StringComparer.Ordinal))
        {
            throw new UsageException("--stop is empty");
        }

        if (session.Get(_system) is not null && !session.Get(_chat))
        {
            throw new UsageException("--system goes with --chat");
        }

        var options = new GenerationOptions
        {
            MaxTokens = session.Get(_maxTokens),
            Temperature = session.Get(_temperature),
            TopK = session.Get(_topK),
            TopP = session.Get(_topP),
            Seed = seed,
            StopStrings = [.. stops],
        };
        if (session.Json)
        {
            session.Show(Generate(session, model, prompt, options, weights, null), JsonOutput.Types.TextResult, _ => { });
            return ExitCodes.Done;
        }

        TextResult result = Stream(session, model, prompt, options, weights);
        if (!session.Quiet)
        {
            string speed = result.TokensPerSecond is double rate ? $", then {Words.Number(rate)} tokens/s" : "";
            session.ErrorLine($"{Words.Count(result.Tokens, "token")} after {result.PromptTokens} of the prompt; first after {Words.Seconds(result.FirstTokenSeconds)}{speed}; ended by {result.StopReason.Replace('_', ' ')}");
        }

        return ExitCodes.Done;
    }

    /// <summary>Writes the text as it is made; its line ends also when it is interrupted.</summary>
    private TextResult Stream(Session session, string model, string prompt, GenerationOptions options, WeightStorage weights)
    {
        bool written = false;
        try
        {
            TextResult result = Generate(session, model, prompt, options, weights, piece =>
            {
                written = true;
                session.Stream(piece);
            });
            written = true;
            return result;
        }
        finally
        {
            if (written)
            {
                session.Stream("\n");
            }
        }
    }

    private TextResult Generate(Session session, string model, string prompt, GenerationOptions options, WeightStorage weights, Action<string>? onText) =>
        TextGeneration.Generate(model, prompt, options, session.Threads, weights, onText, session.Quiet ? null : line => session.ErrorLine(line), session.Get(_chat), session.Get(_system), CacheOption.Get(session, _cache), session.Cancellation);
}
