using System.Collections.Immutable;
using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime;

/// <summary>Compares given inputs with what the model declares, before ONNX Runtime sees them, for messages that say what was expected.</summary>
internal static class InputCheck
{
    /// <exception cref="ModelPackException">MP5004: unknown, missing or duplicate name, wrong element type, rank or size.</exception>
    internal static void Check(ImmutableArray<ModelValue> declared, ReadOnlySpan<string> names, ReadOnlySpan<OrtValue> values, string path)
    {
        for (int i = 0; i < names.Length; i++)
        {
            ModelValue? input = Find(declared, names[i]);
            if (input is null)
            {
                throw Bad($"no input '{names[i]}'; the model takes {List(declared)}", path);
            }

            if (names[..i].Contains(names[i]))
            {
                throw Bad($"input '{names[i]}' is given twice", path);
            }

            ArgumentNullException.ThrowIfNull(values[i]);
            if (input.IsTensor)
            {
                CheckTensor(input, values[i], path);
            }
        }

        foreach (ModelValue input in declared)
        {
            if (!names.Contains(input.Name))
            {
                throw Bad($"input '{input.Name}' is missing; the model takes {List(declared)}", path);
            }
        }
    }

    private static void CheckTensor(ModelValue input, OrtValue value, string path)
    {
        if (!value.IsTensor)
        {
            throw Bad($"input '{input.Name}' is not a tensor; expected {input.Type}", path);
        }

        OrtTensorTypeAndShapeInfo info = value.GetTensorTypeAndShape();
        DType dtype = ElementTypes.ToDType(info.ElementDataType);
        long[] shape = info.Shape;
        bool fits = dtype == input.DType && shape.Length == input.Dims.Length;
        for (int axis = 0; fits && axis < shape.Length; axis++)
        {
            fits = input.Dims[axis].Size is not long size || size == shape[axis];
        }

        if (!fits)
        {
            throw Bad($"input '{input.Name}' is {dtype.Name()}[{string.Join(',', shape)}], expected {input.Type}", path);
        }
    }

    private static ModelValue? Find(ImmutableArray<ModelValue> declared, string name)
    {
        foreach (ModelValue value in declared)
        {
            if (value.Name == name)
            {
                return value;
            }
        }

        return null;
    }

    private static string List(ImmutableArray<ModelValue> declared) =>
        declared.IsEmpty ? "no inputs" : string.Join(", ", declared.Select(d => $"'{d.Name}' {d.Type}"));

    private static ModelPackException Bad(string detail, string path) => new(ErrorCodes.BadInput, detail, path);
}
