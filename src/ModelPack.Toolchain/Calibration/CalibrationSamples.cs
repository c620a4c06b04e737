using System.Collections.Immutable;
using System.Globalization;
using System.IO.Hashing;
using System.Text;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Runtime;
using ModelPack.Runtime.Evaluation;

namespace ModelPack.Toolchain;

/// <summary>The samples on which a model is calibrated. Nothing is ever made up in silence: without data there is no calibration, and <see cref="GeneratedData"/> says what it is.</summary>
internal abstract class CalibrationSamples : IDisposable
{
    private protected CalibrationSamples(CalibrationInfo info, string path)
    {
        Info = info;
        Path = path;
    }

    /// <summary>What the data are.</summary>
    public CalibrationInfo Info { get; }

    /// <summary>As the user named them.</summary>
    public string Path { get; }

    /// <summary>Opens a token file or a folder of .npy files.</summary>
    /// <exception cref="ModelPackException">MP1001, MP1002, MP1070: not readable. MP2213: no samples.</exception>
    public static CalibrationSamples Open(string path, CalibrationOptions options, CancellationToken cancellation) =>
        Directory.Exists(path) ? ArraySamples.Open(path, options, cancellation) : TokenSamples.Open(path, options, cancellation);

    /// <summary>Values for every input of the model, disposed by the caller.</summary>
    /// <param name="inputs">What the model takes.</param>
    /// <param name="outputs">What the model gives.</param>
    /// <param name="sample">Number of the sample.</param>
    /// <exception cref="ModelPackException">MP2213: the data do not fit the model.</exception>
    public abstract Dictionary<string, OrtValue> Read(ImmutableArray<ModelValue> inputs, ImmutableArray<ModelValue> outputs, int sample);

    public virtual void Dispose()
    {
    }

    /// <summary>The values a graph takes or gives, as the runtime describes them.</summary>
    public static ImmutableArray<ModelValue> Describe(IEnumerable<ValueInfo> values) =>
    [
        .. values.Select(v => new ModelValue(v.Name, v.Type.DType, v.Type.Dims.IsDefault ? [] : [.. v.Type.Dims.Select(d => new ModelDimension(d.Value, d.Symbol))])),
    ];

    private protected static ModelPackException Bad(string path, string detail) => new(ErrorCodes.CalibrationData, detail, path);

    /// <summary>Windows of a token file, one after the other, the tail dropped: the protocol of the perplexity measurement.</summary>
    private sealed class TokenSamples : CalibrationSamples
    {
        private readonly TokenFile _tokens;

        private TokenSamples(CalibrationInfo info, string path, TokenFile tokens)
            : base(info, path) => _tokens = tokens;

        public static new TokenSamples Open(string path, CalibrationOptions options, CancellationToken cancellation)
        {
            Provenance.InputFile described;
            using (MappedFile file = MappedFile.Open(path))
            {
                described = Provenance.Describe(file, cancellation);
            }

            TokenFile tokens = TokenFile.Open(path);
            long windows = tokens.Count / options.Window;
            int samples = (int)Math.Min(options.Samples > 0 ? options.Samples : int.MaxValue, windows);
            if (samples == 0)
            {
                long count = tokens.Count;
                tokens.Dispose();
                throw Bad(path, string.Create(CultureInfo.InvariantCulture, $"{count} tokens do not fill one window of {options.Window}"));
            }

            return new TokenSamples(new CalibrationInfo("tokens", described.Name, described.Xxh128, samples, options.Window), path, tokens);
        }

        public override Dictionary<string, OrtValue> Read(ImmutableArray<ModelValue> inputs, ImmutableArray<ModelValue> outputs, int sample)
        {
            LanguageModelSignature signature;
            try
            {
                signature = LanguageModelSignature.Of(inputs, outputs, Path, Info.Window);
            }
            catch (ModelPackException e) when (e.Code == ErrorCodes.NotALanguageModel)
            {
                throw new ModelPackException(ErrorCodes.CalibrationData, $"a token file calibrates language models only: {e.Message}", Path, innerException: e);
            }

            ushort[] ids = new ushort[Info.Window];
            _tokens.Read((long)sample * Info.Window, ids);
            return new Dictionary<string, OrtValue>(signature.MakeInputs(ids, 1, Info.Window).Values, StringComparer.Ordinal);
        }

        public override void Dispose()
        {
            _tokens.Dispose();
            base.Dispose();
        }
    }

    /// <summary>A folder of .npy files named after the inputs, or of one such folder per sample.</summary>
    private sealed class ArraySamples : CalibrationSamples
    {
        private readonly string[] _folders;

        private ArraySamples(CalibrationInfo info, string path, string[] folders)
            : base(info, path) => _folders = folders;

        public static new ArraySamples Open(string path, CalibrationOptions options, CancellationToken cancellation)
        {
            string[] folders = [.. Directory.GetDirectories(path).Order(StringComparer.Ordinal)];
            folders = folders.Length > 0 ? folders : [path];
            folders = options.Samples > 0 ? folders[..Math.Min(options.Samples, folders.Length)] : folders;
            var hash = new XxHash128();
            int files = 0;
            foreach (string file in folders.SelectMany(f => Directory.GetFiles(f, "*.npy").Order(StringComparer.Ordinal)))
            {
                using MappedFile opened = MappedFile.Open(file);
                Provenance.InputFile described = Provenance.Describe(opened, cancellation);
                hash.Append(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{described.Name} {described.Bytes} {described.Xxh128}\n")));
                files++;
            }

            return files > 0
                ? new ArraySamples(
                    new CalibrationInfo("npy", System.IO.Path.GetFileName(System.IO.Path.TrimEndingDirectorySeparator(path)), Convert.ToHexStringLower(hash.GetCurrentHash()), folders.Length, 0), path, folders)
                : throw Bad(path, "the folder holds no .npy files: one per input of the model is needed, or one such folder per sample");
        }

        public override Dictionary<string, OrtValue> Read(ImmutableArray<ModelValue> inputs, ImmutableArray<ModelValue> outputs, int sample)
        {
            var values = new Dictionary<string, OrtValue>(StringComparer.Ordinal);
            foreach (ModelValue input in inputs)
            {
                string path = System.IO.Path.Combine(_folders[sample], SampleInputs.FileName(input.Name));
                if (!File.Exists(path))
                {
                    throw Bad(path, $"no file for input '{input.Name}'");
                }

                using NpyFile file = NpyFile.Open(path);
                bool fits = file.DType == input.DType && (input.Dims.IsEmpty || file.Shape.Rank == input.Dims.Length);
                for (int axis = 0; fits && axis < input.Dims.Length; axis++)
                {
                    fits = input.Dims[axis].Size is not long size || size == file.Shape[axis];
                }

                if (!fits)
                {
                    throw Bad(path, $"is {file.DType.Name()}{file.Shape}, input '{input.Name}' takes {input.Type}");
                }

                values.Add(input.Name, SampleValues.ToOrt(file.DType, [.. file.Shape.Dims], file.Data));
            }

            return values;
        }
    }
}
