using System.Diagnostics;
using System.Text.Json;
using ModelPack.Architectures;
using ModelPack.Runtime;
using ModelPack.Runtime.Generation;
using ModelPack.Runtime.Text;

namespace ModelPack.Toolchain;

/// <summary>Lets a language model continue a text.</summary>
public static class TextGeneration
{
    /// <summary>Continues a text.</summary>
    /// <param name="model">An artifact of a checkpoint folder, or a checkpoint folder of a known architecture.</param>
    /// <param name="prompt">The beginning of the text.</param>
    /// <param name="options">How to choose tokens and when to stop.</param>
    /// <param name="threads">Threads of a run; 0 means all cores.</param>
    /// <param name="weights">Where weights of artifacts are kept; null: in memory.</param>
    /// <param name="onText">Given every piece of text as it is made.</param>
    /// <param name="onWarning">Told what makes generation slower than it need be.</param>
    /// <param name="chat">Take the prompt as the message of a user, and answer it by the checkpoint's chat template.</param>
    /// <param name="system">With <paramref name="chat"/>: a message of the system before it.</param>
    /// <param name="form">The form of the graph of a folder; null: <see cref="GraphForm.CachedFused"/>.</param>
    /// <param name="cancellation">Stops between two tokens.</param>
    /// <exception cref="ModelPackException">MP5036: a form for an artifact. The model cannot be opened, has no usable tokenizer, or the prompt is bad.</exception>
    public static TextResult Generate(
        string model, string prompt, GenerationOptions options, int threads = 0, WeightStorage? weights = null, Action<string>? onText = null, Action<string>? onWarning = null,
        bool chat = false, string? system = null, GraphForm? form = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        if (form is not null && !ModelInput.IsCheckpoint(model))
        {
            throw new ModelPackException(ErrorCodes.CacheIsFixed, "the type of keys and values is fixed when a model is compiled ('compile --kv-cache=f16'); only folders and GGUF files take one when they are run", model);
        }

        using TextGenerator generator = Open(model, form ?? GraphForm.CachedFused, WeightStorage.Options(threads, weights));
        double load = Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (!generator.HasCache)
        {
            onWarning?.Invoke($"{model}: compiled without --kv-cache: every token costs the whole text before it");
        }

        ChatMessage[] messages = system is null ? [new ChatMessage("user", prompt)] : [new ChatMessage("system", system), new ChatMessage("user", prompt)];
        GenerationResult result = chat ? generator.Chat(messages, options, onText, cancellation) : generator.Generate(prompt, options, onText, cancellation);
        return new TextResult
        {
            Model = model,
            PromptTokens = result.PromptTokens,
            Tokens = result.Tokens,
            Text = result.Text,
            StopReason = JsonNamingPolicy.SnakeCaseLower.ConvertName(result.StopReason.ToString()),
            FirstTokenSeconds = result.FirstTokenSeconds,
            TokensPerSecond = result.TokensPerSecond,
            LoadSeconds = load,
            KvCache = generator.HasCache,
        };
    }

    /// <summary>A checkpoint folder gets a graph with a cache.</summary>
    private static TextGenerator Open(string path, GraphForm form, ModelSessionOptions options) => ModelInput.IsCheckpoint(path)
        ? TextGenerator.Create(ModelInput.Open(path, TextGenerator.ForGeneration(options), form), ModelInput.Files(path, TextGenerator.MaxFileBytes))
        : TextGenerator.Open(path, options);
}
