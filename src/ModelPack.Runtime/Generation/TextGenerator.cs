using System.Collections.Immutable;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using ModelPack.Pack;
using ModelPack.Runtime.Evaluation;
using ModelPack.Runtime.Text;

namespace ModelPack.Runtime.Generation;

/// <summary>
/// A language model that continues text: an artifact compiled from a checkpoint folder with its tokenizer. Thread-safe: every call is a sequence of
/// its own.
/// </summary>
public sealed class TextGenerator : IDisposable
{
    /// <summary>Prefix of the blobs of an artifact that hold files of the checkpoint folder.</summary>
    internal const string FilePrefix = "file:";

    /// <summary>Largest tokenizer or configuration that is read.</summary>
    internal const int MaxFileBytes = 256 << 20;

    /// <summary>A text with words, a number and punctuation.</summary>
    private const string Words = "Once upon a time, 2 of them.";

    private readonly ModelSession _session;
    private readonly LanguageModelSignature _signature;
    private readonly LanguageModelSettings _settings;

    private readonly KeyValuePool? _memory;
    private readonly Lazy<ChatPrompt> _chat;

    private TextGenerator(ModelSession session, LanguageModelSignature signature, BytePairTokenizer tokenizer, LanguageModelSettings settings, Lazy<ChatPrompt> chat)
    {
        _chat = chat;
        _session = session;
        _signature = signature;
        _settings = settings;
        Tokenizer = tokenizer;
        HasCache = signature.Past.Any();
        _memory = HasCache ? new KeyValuePool(session, signature) : null;
    }

    /// <summary>The model's tokenizer.</summary>
    public BytePairTokenizer Tokenizer { get; }

    /// <summary>True when the graph takes keys and values of earlier tokens (<c>compile --kv-cache</c>): a token costs one token. Without, every token costs the whole text before it.</summary>
    public bool HasCache { get; }

    /// <summary>Most tokens of prompt and text together; null when the configuration does not say.</summary>
    public int? ContextLength => _settings.ContextLength;

    /// <summary>Opens an artifact.</summary>
    /// <exception cref="ModelPackException">MP1xxx, MP5001 to MP5003: as <see cref="ModelSession.Open"/>; MP5020: not a language model; MP5030 to MP5032: its tokenizer is missing, damaged or not supported.</exception>
    public static TextGenerator Open(string path, ModelSessionOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(path);

        // Beside the weights, which take longer: what it gives, and what is wrong with it, is asked for below.
        Task<BytePairTokenizer?> tokenizer = Task.Run(() => PrepareTokenizer(path));
        ModelSession session = ModelSession.Open(path, ForGeneration(options ?? new ModelSessionOptions()));
        return Create(session, name => session is PackedModel ? ReadFile(path, name) : null, tokenizer);
    }

    /// <summary>Parses the tokenizer and uses it once, so that no code of it is compiled when the first prompt comes; null where that fails.</summary>
    private static BytePairTokenizer? PrepareTokenizer(string path)
    {
        try
        {
            if (!PackReader.IsNamedOrIsArtifact(path) || ReadFile(path, BytePairTokenizer.FileName) is not ReadOnlyMemory<byte> file)
            {
                return null;
            }

            var tokenizer = BytePairTokenizer.Parse(file);
            var decoder = new StreamingDecoder(tokenizer);
            foreach (int id in tokenizer.Encode(Words))
            {
                _ = decoder.Append(id);
            }

            return tokenizer;
        }
        catch (Exception e) when (e is ModelPackException or IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Options to open a model with that a generator is made of: of a prompt only the scores behind its last token are computed.</summary>
    internal static ModelSessionOptions ForGeneration(ModelSessionOptions options) => options with { LastPositionOnly = true };

    /// <summary>Makes a generator of an open model, which it takes over, also when this fails.</summary>
    /// <param name="session">The model.</param>
    /// <param name="file">A file of the checkpoint folder by name, or null.</param>
    /// <param name="prepared">Its tokenizer, which may give null; null: is read of the files.</param>
    internal static TextGenerator Create(ModelSession session, Func<string, ReadOnlyMemory<byte>?> file, Task<BytePairTokenizer?>? prepared = null) => ModelSession.TakenOver(session, () =>
    {
        LanguageModelSignature signature = Check(session);
        BytePairTokenizer tokenizer = prepared?.GetAwaiter().GetResult() ?? BytePairTokenizer.Parse(file(BytePairTokenizer.FileName)
            ?? throw new ModelPackException(ErrorCodes.NoTokenizer, $"there is no {BytePairTokenizer.FileName} in it: compile a checkpoint folder that has one"));
        ChatFiles chat = ChatFiles.Read(file);
        return new TextGenerator(session, signature, tokenizer, LanguageModelSettings.Read(file), new Lazy<ChatPrompt>(() => ChatPrompt.Of(chat)));
    });

    /// <summary>Continues a text, piece by piece as tokens are made; pieces end at whole characters.</summary>
    /// <param name="prompt">The beginning of the text; not part of what comes back.</param>
    /// <param name="options">How to choose tokens and when to stop.</param>
    /// <param name="cancellation">Seen between runs of the model; ends the sequence with <see cref="OperationCanceledException"/> and frees it.</param>
    /// <exception cref="ModelPackException">MP5033: the prompt is empty or too long; MP5034: the logits are no numbers; MP5005: ONNX Runtime failed.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is outside its range.</exception>
    public async IAsyncEnumerable<string> GenerateAsync(string prompt, GenerationOptions? options = null, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using IEnumerator<string> pieces = Pieces(EncodePrompt(prompt), options ?? new GenerationOptions(), new Course(), cancellation).GetEnumerator();
        while (await Task.Run(pieces.MoveNext, cancellation).ConfigureAwait(false))
        {
            yield return pieces.Current;
        }
    }

    /// <summary>Continues a text and tells about it.</summary>
    /// <param name="prompt">The beginning of the text.</param>
    /// <param name="options">How to choose tokens and when to stop.</param>
    /// <param name="onText">Given every piece of text as it is made.</param>
    /// <param name="cancellation">Seen between runs of the model.</param>
    /// <exception cref="ModelPackException">As <see cref="GenerateAsync"/>.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is outside its range.</exception>
    public GenerationResult Generate(string prompt, GenerationOptions? options = null, Action<string>? onText = null, CancellationToken cancellation = default)
    {
        return Generate(EncodePrompt(prompt), options, onText, cancellation);
    }

    /// <summary>Answers in a conversation, which the chat template of the checkpoint makes a prompt of.</summary>
    /// <param name="messages">The messages so far, the last one usually the user's.</param>
    /// <param name="options">How to choose tokens and when to stop.</param>
    /// <param name="onText">Given every piece of the answer as it is made.</param>
    /// <param name="cancellation">Seen between runs of the model.</param>
    /// <exception cref="ModelPackException">MP5035: the checkpoint has no chat template, or one that is not understood or refuses the messages; else as <see cref="GenerateAsync"/>.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is outside its range.</exception>
    public GenerationResult Chat(IReadOnlyList<ChatMessage> messages, GenerationOptions? options = null, Action<string>? onText = null, CancellationToken cancellation = default) =>
        Generate(EncodeChat(messages), options, onText, cancellation);

    /// <summary>As <see cref="Chat"/>, piece by piece as tokens are made; pieces end at whole characters.</summary>
    /// <param name="messages">The messages so far.</param>
    /// <param name="options">How to choose tokens and when to stop.</param>
    /// <param name="cancellation">Seen between runs of the model; ends the sequence with <see cref="OperationCanceledException"/> and frees it.</param>
    /// <exception cref="ModelPackException">As <see cref="Chat"/>.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is outside its range.</exception>
    public async IAsyncEnumerable<string> ChatAsync(IReadOnlyList<ChatMessage> messages, GenerationOptions? options = null, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using IEnumerator<string> pieces = Pieces(EncodeChat(messages), options ?? new GenerationOptions(), new Course(), cancellation).GetEnumerator();
        while (await Task.Run(pieces.MoveNext, cancellation).ConfigureAwait(false))
        {
            yield return pieces.Current;
        }
    }

    private ImmutableArray<int> EncodeChat(IReadOnlyList<ChatMessage> messages)
    {
        try
        {
            // The template writes the tokens around the text itself.
            return Tokenizer.Encode(_chat.Value.Render(messages), around: false);
        }
        catch (ModelPackException e)
        {
            throw e.WithPath(_session.Path);
        }
    }

    private GenerationResult Generate(ImmutableArray<int> ids, GenerationOptions? options, Action<string>? onText, CancellationToken cancellation)
    {
        var course = new Course();
        var text = new StringBuilder();
        foreach (string piece in Pieces(ids, options ?? new GenerationOptions(), course, cancellation))
        {
            text.Append(piece);
            onText?.Invoke(piece);
        }

        return new GenerationResult(ids.Length, course.Tokens, text.ToString(), course.Reason, course.FirstSeconds, course.TokensPerSecond);
    }

    /// <summary>Continues a sequence of token ids; stop strings are not looked for.</summary>
    /// <param name="prompt">The ids before.</param>
    /// <param name="options">How to choose tokens and when to stop.</param>
    /// <param name="cancellation">Seen between runs of the model.</param>
    /// <returns>The ids after, each made when it is asked for, without the one that ends the text.</returns>
    /// <exception cref="ModelPackException">As <see cref="GenerateAsync"/>.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option is outside its range.</exception>
    public IEnumerable<int> GenerateTokens(IReadOnlyList<int> prompt, GenerationOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        return Tokens(prompt, options ?? new GenerationOptions(), new Course(), cancellation);
    }

    /// <summary>Closes the model.</summary>
    public void Dispose()
    {
        _session.Dispose();
        _memory?.Dispose();
    }

    internal static ReadOnlyMemory<byte>? ReadFile(string artifact, string name)
    {
        using PackReader reader = PackReader.Open(artifact);
        // An array that is null would become memory that is empty and not null.
        return reader.Blobs.GetValueOrDefault(FilePrefix + name) is TensorData data ? data.ToArray(MaxFileBytes) : (ReadOnlyMemory<byte>?)null;
    }

    private static LanguageModelSignature Check(ModelSession session)
    {
        LanguageModelSignature signature = LanguageModelSignature.Of(session, window: 1);
        foreach (ModelValue past in signature.Past)
        {
            string present = SequenceState.Present(past.Name);
            if (!session.Outputs.Any(o => o.Name == present))
            {
                throw new ModelPackException(ErrorCodes.NotALanguageModel, $"input '{past.Name}' has no output '{present}' to continue it");
            }
        }

        return signature;
    }

    private ImmutableArray<int> EncodePrompt(string prompt)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        if (prompt.Length == 0)
        {
            throw new ModelPackException(ErrorCodes.BadPrompt, "the prompt is empty", _session.Path);
        }

        try
        {
            return Tokenizer.Encode(prompt);
        }
        catch (ModelPackException e)
        {
            throw e.WithPath(_session.Path);
        }
    }

    private IEnumerable<string> Pieces(ImmutableArray<int> prompt, GenerationOptions options, Course course, CancellationToken cancellation)
    {
        var decoder = new StreamingDecoder(Tokenizer);
        var stop = new StopText(options.StopStrings.IsDefault ? [] : options.StopStrings);
        foreach (int id in Tokens(prompt, options, course, cancellation))
        {
            string piece = stop.Append(decoder.Append(id));
            if (piece.Length > 0)
            {
                yield return piece;
            }

            if (stop.Found)
            {
                course.Reason = StopReason.StopString;
                yield break;
            }
        }

        string rest = stop.Append(decoder.Finish()) + stop.Finish();
        course.Reason = stop.Found ? StopReason.StopString : course.Reason;
        if (rest.Length > 0)
        {
            yield return rest;
        }
    }

    /// <summary>Checks what is given at once, and makes tokens when they are asked for.</summary>
    private IEnumerable<int> Tokens(IReadOnlyList<int> prompt, GenerationOptions options, Course course, CancellationToken cancellation)
    {
        options.Check();
        CheckKnown(prompt);
        return Tokens(prompt, RoomAfter(prompt.Count), options, course, cancellation);
    }

    private IEnumerable<int> Tokens(IReadOnlyList<int> prompt, int room, GenerationOptions options, Course course, CancellationToken cancellation)
    {
        using var state = new SequenceState(_session, _signature, _memory, (long)prompt.Count + Math.Min(options.MaxTokens, room));
        var sampler = new TokenSampler(options, _session.Path);
        IReadOnlyList<int> next = prompt;
        while (course.Tokens < options.MaxTokens)
        {
            if (course.Tokens == room)
            {
                course.Reason = StopReason.ContextLength;
                yield break;
            }

            int id = sampler.Next(state.Append(next, cancellation));
            if (_settings.EndTokens.Contains(id))
            {
                course.Reason = StopReason.EndOfText;
                yield break;
            }

            course.Add();
            next = [id];
            yield return id;
        }

        course.Reason = StopReason.MaxTokens;
    }

    /// <summary>A tokenizer of another model gives ids that this one has no embedding for.</summary>
    private void CheckKnown(IReadOnlyList<int> prompt)
    {
        foreach (int id in prompt)
        {
            if (id < 0 || id >= (_settings.VocabularySize ?? int.MaxValue))
            {
                throw new ModelPackException(ErrorCodes.TokenNotInModel, $"token {id} of the prompt is none of the {_settings.VocabularySize} that the model has: {BytePairTokenizer.FileName} does not belong to it", _session.Path);
            }
        }
    }

    /// <summary>Tokens that fit behind a prompt.</summary>
    private int RoomAfter(int prompt)
    {
        int room = ContextLength is int context ? context - prompt : int.MaxValue;
        return (prompt, room) switch
        {
            (0, _) => throw new ModelPackException(ErrorCodes.BadPrompt, "the prompt has no tokens", _session.Path),
            (_, <= 0) => throw new ModelPackException(ErrorCodes.BadPrompt, $"the prompt has {prompt} tokens; the model's context of {ContextLength} leaves no room for text", _session.Path),
            _ => room,
        };
    }

    /// <summary>How one generation went.</summary>
    private sealed class Course
    {
        private readonly long _start = Stopwatch.GetTimestamp();
        private double _lastSeconds;

        public StopReason Reason { get; set; }

        public int Tokens { get; private set; }

        public double FirstSeconds { get; private set; }

        public double? TokensPerSecond => Tokens > 1 ? (Tokens - 1) / (_lastSeconds - FirstSeconds) : null;

        public void Add()
        {
            _lastSeconds = Stopwatch.GetElapsedTime(_start).TotalSeconds;
            FirstSeconds = Tokens++ == 0 ? _lastSeconds : FirstSeconds;
        }
    }
}
