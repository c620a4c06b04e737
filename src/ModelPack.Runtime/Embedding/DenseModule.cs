using System.Buffers.Binary;
using System.Collections.Immutable;
using ModelPack.Runtime.Text;

namespace ModelPack.Runtime.Embedding;

/// <summary>A linear layer behind pooling, with a function: what sentence-transformers calls Dense.</summary>
/// <param name="Inputs">Values it takes.</param>
/// <param name="Outputs">Values it gives.</param>
/// <param name="Weight">[outputs, inputs], row-major.</param>
/// <param name="Bias">[outputs]; zeros without one.</param>
/// <param name="Activation">Applied to every value.</param>
internal sealed record DenseModule(int Inputs, int Outputs, ImmutableArray<float> Weight, ImmutableArray<float> Bias, Func<double, double> Activation)
{
    private const string ConfigFile = "config.json";
    private const string WeightsFile = "model.safetensors";
    private const int MostValues = 1 << 20;
    private const int LengthBytes = sizeof(long);

    private static readonly (string Name, Func<double, double> Function)[] Functions =
    [
        ("Tanh", Math.Tanh), ("Identity", x => x), ("ReLU", x => Math.Max(x, 0)), ("Sigmoid", x => 1 / (1 + Math.Exp(-x))), ("SiLU", x => x / (1 + Math.Exp(-x))),
    ];

    /// <summary>Reads the files of a module.</summary>
    /// <param name="path">Its folder.</param>
    /// <param name="file">A file of the checkpoint by name, or null.</param>
    /// <exception cref="ModelPackException">MP5031: its configuration is damaged; MP1514: it is missing or asks for something else; MP5070: its weights are damaged or do not fit.</exception>
    public static DenseModule Read(string path, Func<string, ReadOnlyMemory<byte>?> file)
    {
        Json config = file($"{path}/{ConfigFile}") is ReadOnlyMemory<byte> text ? Json.Parse(text, $"{path}/{ConfigFile}") : throw EncoderSettings.Missing($"{path}/{ConfigFile}");
        string name = (config.Find("activation_function")?.Text() ?? "Tanh").Split('.')[^1];
        int function = Array.FindIndex(Functions, f => f.Name == name);
        if (function < 0)
        {
            throw EncoderSettings.NotSupported($"{path}/{ConfigFile}: activation_function '{name}'; there are: {string.Join(", ", Functions.Select(f => f.Name))}");
        }

        if (config.Find("module_input_name")?.Text() is string input and not "sentence_embedding")
        {
            throw EncoderSettings.NotSupported($"{path}/{ConfigFile}: module_input_name '{input}'; a dense layer reads the vector of the text");
        }

        int inputs = config.Get("in_features").Integer(MostValues);
        int outputs = config.Get("out_features").Integer(MostValues);
        ReadOnlyMemory<byte> weights = file($"{path}/{WeightsFile}")
            ?? throw EncoderSettings.NotSupported($"there is no {path}/{WeightsFile}; weights in other files (pytorch_model.bin) are not read");
        return new DenseModule(
            inputs,
            outputs,
            ReadTensor(weights, $"{path}/{WeightsFile}", "linear.weight", outputs, inputs),
            config.Flag("bias", true) ? ReadTensor(weights, $"{path}/{WeightsFile}", "linear.bias", outputs) : [.. new float[outputs]],
            Functions[function].Function);
    }

    /// <summary>The layer's result for a vector of <see cref="Inputs"/> values.</summary>
    public double[] Apply(double[] vector)
    {
        double[] result = new double[Outputs];
        for (int o = 0; o < Outputs; o++)
        {
            double sum = Bias[o];
            ReadOnlySpan<float> row = Weight.AsSpan().Slice(o * Inputs, Inputs);
            for (int i = 0; i < row.Length; i++)
            {
                sum += row[i] * vector[i];
            }

            result[o] = Activation(sum);
        }

        return result;
    }

    /// <summary>A tensor of a safetensors file: the length of its header, the header, data.</summary>
    private static ImmutableArray<float> ReadTensor(ReadOnlyMemory<byte> file, string fileName, string tensor, params ReadOnlySpan<int> shape)
    {
        ModelPackException Bad(string detail) => new(ErrorCodes.SentenceWeights, $"{fileName}: {detail}", tensor: tensor);
        if (file.Length < LengthBytes || BinaryPrimitives.ReadUInt64LittleEndian(file.Span) is var length && length > (ulong)(file.Length - LengthBytes))
        {
            throw Bad("is shorter than its header says");
        }

        Json header = Json.Parse(file.Slice(LengthBytes, (int)length), fileName);
        Json entry = header.Find(tensor) ?? throw Bad("the tensor is not there");
        string type = entry.Get("dtype").Text();
        int size = type switch { "F32" => 4, "F16" or "BF16" => 2, _ => throw Bad($"the tensor is of type {type}; F32, F16 and BF16 are read") };
        int[] dims = [.. entry.Get("shape").Items().Select(d => d.Integer(int.MaxValue))];
        if (!dims.AsSpan().SequenceEqual(shape))
        {
            throw Bad($"the tensor is [{string.Join(',', dims)}], the configuration says [{string.Join(',', shape.ToArray())}]");
        }

        ReadOnlyMemory<byte> data = file[(LengthBytes + (int)length)..];
        long count = dims.Aggregate(1L, (n, d) => n * d);
        int[] offsets = [.. entry.Get("data_offsets").Items().Select(o => o.Integer(int.MaxValue))];
        if (offsets is not [int from, int to] || from > to || to > data.Length || to - from != count * size)
        {
            throw Bad($"the tensor does not lie in the file as {count} values of {size} bytes");
        }

        ReadOnlySpan<byte> bytes = data.Span[from..to];
        var values = ImmutableArray.CreateBuilder<float>((int)count);
        for (int i = 0; i < bytes.Length; i += size)
        {
            values.Add(type switch
            {
                "F32" => BinaryPrimitives.ReadSingleLittleEndian(bytes[i..]),
                "F16" => (float)BinaryPrimitives.ReadHalfLittleEndian(bytes[i..]),
                _ => BitConverter.UInt32BitsToSingle((uint)BinaryPrimitives.ReadUInt16LittleEndian(bytes[i..]) << 16),
            });
        }

        return values.MoveToImmutable();
    }
}
