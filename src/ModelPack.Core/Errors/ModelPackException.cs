namespace ModelPack;

/// <summary>
/// An error the user can act on: bad input, a bad recipe, an artifact that does not verify. Everything else is a bug and
/// surfaces as another exception type. People are shown <see cref="Line"/>.
/// </summary>
public sealed class ModelPackException : Exception
{
    /// <param name="code">A code from <see cref="ErrorCodes"/>.</param>
    /// <param name="detail">What is wrong, in one line, with numbers and units.</param>
    /// <param name="path">The file concerned, as the user named it.</param>
    /// <param name="tensor">The tensor concerned.</param>
    /// <param name="offsetBytes">Where in the file.</param>
    /// <param name="innerException">The cause, if another exception was caught.</param>
    public ModelPackException(ErrorCode code, string detail, string? path = null, string? tensor = null, long? offsetBytes = null, Exception? innerException = null)
        : base(Describe(detail, tensor, offsetBytes), innerException)
    {
        Code = code;
        Path = path;
        Tensor = tensor;
        OffsetBytes = offsetBytes;
    }

    private ModelPackException(ModelPackException error, string path)
        : base(error.Message, error)
    {
        Code = error.Code;
        Path = path;
        Tensor = error.Tensor;
        OffsetBytes = error.OffsetBytes;
    }

    public ErrorCode Code { get; }

    public string? Path { get; }

    public string? Tensor { get; }

    public long? OffsetBytes { get; }

    /// <summary>The one line that is shown: MSBuild's form, <c>path: error MP1003: tensor 'x' at 0x1000: detail</c>.</summary>
    public string Line => $"{Path ?? "modelpack"}: error {Code}: {Message}";

    /// <summary>The same error with the path filled in where it was not known; keeps an existing path.</summary>
    public ModelPackException WithPath(string path) =>
        Path is null ? new ModelPackException(this, path) : this;

    private static string Describe(string detail, string? tensor, long? offsetBytes)
    {
        string where = (tensor, offsetBytes) switch
        {
            (null, null) => "",
            (null, long o) => $"at 0x{o:x}: ",
            (string t, null) => $"tensor '{Printable(t)}': ",
            (string t, long o) => $"tensor '{Printable(t)}' at 0x{o:x}: ",
        };
        return where + Printable(detail, 2000);
    }

    /// <summary>Names come from untrusted files: no control characters, no endless lines.</summary>
    private static string Printable(string text, int limit = 200)
    {
        string cut = text.Length > limit ? string.Concat(text.AsSpan(0, limit), "...") : text;
        return string.Create(cut.Length, cut, static (span, s) =>
        {
            for (int i = 0; i < span.Length; i++)
            {
                span[i] = char.IsControl(s[i]) ? '?' : s[i];
            }
        });
    }
}
